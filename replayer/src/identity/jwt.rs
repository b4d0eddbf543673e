//! JSON Web Tokens of the shadow's own, minted with the claims of captured ones.
//!
//! A token is a header, a payload and a signature (RFC 7515, compact form). The signing is ring's, which TLS brings along; what is left
//! is two base64 texts and a dot. Guarantees: tokens are minted anew for every set of claims and reused for half of their life, for a bounded
//! number of sets; neither key nor token is in Debug output.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lru::LruCache;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use ring::{error, hmac};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Sets of claims whose token is kept: more sessions than one replayer serves at a time.
const KEPT: NonZeroUsize = NonZeroUsize::new(4096).expect("it is not 0");
/// Shortest key for HMAC-SHA256 (RFC 7518, 3.2).
const SHORTEST_KEY: usize = 32;

/// How a token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Algorithm {
    /// HMAC-SHA256 with a shared secret.
    #[serde(rename = "HS256")]
    Hs256,
    /// RSA PKCS #1 v1.5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// A key that signs.
pub(super) enum Signer {
    Hs256(hmac::Key),
    Rs256(Box<RsaKeyPair>),
    EdDsa(Box<Ed25519KeyPair>),
}

impl Signer {
    /// Reads the key: text for HS256, PEM (PKCS #8, for RSA PKCS #1 too) for the others.
    ///
    /// # Errors
    /// What is wrong with it; never the key.
    pub(super) fn parse(algorithm: Algorithm, key: &str) -> Result<Self, String> {
        if algorithm == Algorithm::Hs256 {
            return match key.len() {
                0..SHORTEST_KEY => Err(format!("the key has {} bytes; HS256 needs at least {SHORTEST_KEY}", key.len())),
                _ => Ok(Self::Hs256(hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()))),
            };
        }
        let der = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|_| "the key is no private key in PEM form (`-----BEGIN PRIVATE KEY-----`)".to_owned())?;
        let refused =
            |kind: &'static str| move |error: error::KeyRejected| format!("the key is no {kind} key: {error}");
        match (algorithm, &der) {
            (Algorithm::Rs256, PrivateKeyDer::Pkcs8(der)) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der())
                .map(|key| Self::Rs256(Box::new(key)))
                .map_err(refused("RSA")),
            (Algorithm::Rs256, PrivateKeyDer::Pkcs1(der)) => RsaKeyPair::from_der(der.secret_pkcs1_der())
                .map(|key| Self::Rs256(Box::new(key)))
                .map_err(refused("RSA")),
            (Algorithm::EdDsa, PrivateKeyDer::Pkcs8(der)) => {
                Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der())
                    .map(|key| Self::EdDsa(Box::new(key)))
                    .map_err(refused("Ed25519"))
            }
            _ => Err("the key is of another kind; use a PKCS #8 key of the algorithm's".to_owned()),
        }
    }

    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Hs256(_) => Algorithm::Hs256,
            Self::Rs256(_) => Algorithm::Rs256,
            Self::EdDsa(_) => Algorithm::EdDsa,
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, error::Unspecified> {
        match self {
            Self::Hs256(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            Self::Rs256(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)?;
                Ok(signature)
            }
            Self::EdDsa(key) => Ok(key.sign(message).as_ref().to_vec()),
        }
    }
}

/// Mints the tokens of one identity.
pub(super) struct Minter {
    signer: Signer,
    header: String,
    fixed: Map<String, Value>,
    copy: Vec<String>,
    ttl_s: i64,
    minted: Mutex<LruCache<String, Minted>>,
}

struct Minted {
    token: Arc<str>,
    at: i64,
}

impl Minter {
    /// Tokens with `fixed` claims and those of the captured token that `copy` names, good for `ttl_s` seconds.
    pub(super) fn new(
        signer: Signer,
        key_id: Option<&str>,
        fixed: Map<String, Value>,
        copy: Vec<String>,
        ttl_s: i64,
    ) -> Self {
        #[derive(Serialize)]
        struct Header<'a> {
            alg: Algorithm,
            typ: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            kid: Option<&'a str>,
        }
        let header = encoded(&Header { alg: signer.algorithm(), typ: "JWT", kid: key_id });
        Self { signer, header, fixed, copy, ttl_s, minted: Mutex::new(LruCache::new(KEPT)) }
    }

    /// The token for a request whose captured token had these claims (JSON), at `now` (seconds since 1970). `None` when claims are to be
    /// copied and there are none: what was captured without a token is sent without one.
    pub(super) fn token(&self, captured: Option<&str>, now: i64) -> Result<Option<Arc<str>>, error::Unspecified> {
        let mut claims = self.fixed.clone();
        if !self.copy.is_empty() {
            let captured: Map<String, Value> =
                captured.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            let copied = self.copy.iter().filter_map(|name| Some((name.clone(), captured.get(name)?.clone())));
            let before = claims.len();
            claims.extend(copied);
            if claims.len() == before {
                return Ok(None);
            }
        }
        let set = text_of(&claims);
        if let Some(Minted { token, at }) = self.minted().get(&set)
            && (0..self.ttl_s / 2).contains(&(now - at))
        {
            return Ok(Some(token.clone()));
        }
        claims.insert("iat".to_owned(), now.into());
        claims.insert("exp".to_owned(), (now + self.ttl_s).into());
        let signed = format!("{}.{}", self.header, encoded(&claims));
        let signature = URL_SAFE_NO_PAD.encode(self.signer.sign(signed.as_bytes())?);
        let token: Arc<str> = format!("{signed}.{signature}").into();
        self.minted().put(set, Minted { token: token.clone(), at: now });
        Ok(Some(token))
    }

    fn minted(&self) -> std::sync::MutexGuard<'_, LruCache<String, Minted>> {
        self.minted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn encoded(part: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(text_of(part))
}

fn text_of(part: &impl Serialize) -> String {
    serde_json::to_string(part).expect("claims have string keys only")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIMS: &str = r#"{"sub":"msk_alice","tenant":7,"scope":"read"}"#;

    fn minter(algorithm: Algorithm, key: &str, copy: &[&str]) -> Minter {
        let fixed = Map::from_iter([("iss".to_owned(), "shadow".into())]);
        let copy = copy.iter().map(|name| (*name).to_owned()).collect();
        Minter::new(Signer::parse(algorithm, key).unwrap(), None, fixed, copy, 300)
    }

    fn payload(token: &str) -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
    }

    /// The signatures were made by `openssl dgst -sha256 -hmac`, `openssl dgst -sha256 -sign` and `openssl pkeyutl -sign -rawin`;
    /// `testdata/sign.sh` makes them again.
    #[test]
    fn tokens_are_what_openssl_signs() {
        let hs256 = include_str!("testdata/hs256.key");
        let (rs256, eddsa) = (include_str!("testdata/rs256.pem"), include_str!("testdata/eddsa.pem"));
        let expected = include_str!("testdata/tokens.txt").lines();
        let keys = [(Algorithm::Hs256, hs256.trim()), (Algorithm::Rs256, rs256), (Algorithm::EdDsa, eddsa)];
        for ((algorithm, key), expected) in keys.into_iter().zip(expected) {
            let token = minter(algorithm, key, &["sub"]).token(Some(CLAIMS), 1_700_000_000).unwrap().unwrap();
            assert_eq!(*token, *expected, "{algorithm:?}");
        }
    }

    #[test]
    fn named_claims_are_copied_beside_the_fixed_ones() {
        let minter = minter(Algorithm::Hs256, &"k".repeat(32), &["sub", "tenant", "missing"]);
        let token = minter.token(Some(CLAIMS), 1000).unwrap().unwrap();
        let expected = serde_json::json!({"iss": "shadow", "sub": "msk_alice", "tenant": 7, "iat": 1000, "exp": 1300});
        assert_eq!(payload(&token), expected);
    }

    #[test]
    fn without_claims_to_copy_there_is_no_token() {
        let copying = minter(Algorithm::Hs256, &"k".repeat(32), &["sub"]);
        for captured in [None, Some("{}"), Some("[]"), Some("not JSON"), Some(r#"{"tenant":7}"#)] {
            assert_eq!(copying.token(captured, 1000).unwrap(), None, "{captured:?}");
        }
        let fixed = minter(Algorithm::Hs256, &"k".repeat(32), &[]);
        assert_eq!(payload(&fixed.token(None, 1000).unwrap().unwrap())["iss"], "shadow");
    }

    #[test]
    fn a_token_is_reused_for_half_of_its_life_and_for_its_claims_only() {
        let minter = minter(Algorithm::Hs256, &"k".repeat(32), &["sub"]);
        let token = |sub: &str, now| minter.token(Some(&format!(r#"{{"sub":"{sub}"}}"#)), now).unwrap().unwrap();
        let first = token("a", 1000);
        assert_eq!(token("a", 1149), first);
        assert_ne!(token("b", 1000), first);
        let second = token("a", 1150);
        assert_ne!(second, first);
        assert_ne!(token("a", 900), second, "the clock was set back");
        (0..10_000).for_each(|n| drop(token(&n.to_string(), 1000)));
        assert_eq!(minter.minted().len(), KEPT.get());
    }

    #[test]
    fn a_key_that_cannot_sign_is_refused_and_not_repeated() {
        let rs256 = include_str!("testdata/rs256.pem");
        let table = [
            (Algorithm::Hs256, "short", "5 bytes"),
            (Algorithm::Rs256, "hunter2", "no private key in PEM form"),
            (Algorithm::EdDsa, rs256, "no Ed25519 key"),
            (Algorithm::Rs256, include_str!("testdata/eddsa.pem"), "no RSA key"),
        ];
        for (algorithm, key, expected) in table {
            let error = Signer::parse(algorithm, key).err().unwrap();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{error}");
        }
    }
}
