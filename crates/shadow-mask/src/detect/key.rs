//! Machine credentials: JSON Web Tokens, keys of known families, and long random strings.

use std::ops::Range;

use super::{free_after, free_before};
use crate::names::Hint;

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn run(text: &[u8], from: usize, allowed: impl Fn(u8) -> bool) -> usize {
    from + text[from..].iter().take_while(|b| allowed(**b)).count()
}

/// JSON Web Tokens: three parts (signed, or unsigned with an empty third) or five (encrypted), the first a JSON object.
pub(crate) fn jwt(text: &[u8], take: &mut dyn FnMut(Range<usize>)) {
    let mut at = 0;
    while at + 4 <= text.len() {
        if !text[at..].starts_with(b"ey") || !free_before(text, at) {
            at += 1;
            continue;
        }
        let (mut end, mut parts, mut lengths) = (at, 0, [0; 5]);
        while parts < 5 {
            let stop = run(text, end, is_base64url);
            lengths[parts] = stop - end;
            (end, parts) = (stop, parts + 1);
            if text.get(end) != Some(&b'.') || parts == 5 {
                break;
            }
            end += 1;
        }
        let sound = lengths[0] >= 8 && ((parts == 3 && lengths[1] >= 2) || (parts == 5 && lengths[3] >= 2));
        if sound {
            take(at..end);
        }
        at = end.max(at + 1);
    }
}

/// A family of keys: what they begin with, what follows, and how much of it at least and at most.
type Family = (&'static str, Follows, usize, usize);

#[derive(Clone, Copy)]
enum Follows {
    Upper,
    Hex,
    Word,
    /// Base64url with dots.
    Dotted,
}

/// From the pages on which the services describe their keys; longer prefixes before shorter ones.
const FAMILIES: &[Family] = &[
    ("AKIA", Follows::Upper, 16, 16), // AWS access key
    ("ASIA", Follows::Upper, 16, 16), // AWS temporary key
    ("ABIA", Follows::Upper, 16, 16), // AWS bearer token
    ("ACCA", Follows::Upper, 16, 16), // AWS context credential
    ("AGE-SECRET-KEY-1", Follows::Upper, 58, 58),
    ("AIza", Follows::Word, 35, 35),     // Google API key
    ("GOCSPX-", Follows::Word, 24, 40),  // Google OAuth secret
    ("ya29.", Follows::Dotted, 20, 512), // Google access token
    ("github_pat_", Follows::Word, 22, 255),
    ("ghp_", Follows::Word, 36, 255),
    ("gho_", Follows::Word, 36, 255),
    ("ghu_", Follows::Word, 36, 255),
    ("ghs_", Follows::Word, 36, 255),
    ("ghr_", Follows::Word, 36, 255),
    ("glpat-", Follows::Dotted, 20, 255), // GitLab
    ("gldt-", Follows::Word, 20, 255),
    ("glrt-", Follows::Word, 20, 255),
    ("xoxb-", Follows::Word, 10, 255), // Slack
    ("xoxp-", Follows::Word, 10, 255),
    ("xoxa-", Follows::Word, 10, 255),
    ("xoxr-", Follows::Word, 10, 255),
    ("xoxs-", Follows::Word, 10, 255),
    ("xapp-", Follows::Word, 10, 255),
    ("sk_live_", Follows::Word, 16, 255), // Stripe
    ("sk_test_", Follows::Word, 16, 255),
    ("rk_live_", Follows::Word, 16, 255),
    ("rk_test_", Follows::Word, 16, 255),
    ("pk_live_", Follows::Word, 16, 255),
    ("whsec_", Follows::Word, 24, 255),
    ("sk-ant-", Follows::Word, 20, 255),  // Anthropic
    ("sk-proj-", Follows::Word, 20, 255), // OpenAI
    ("sk-svcacct-", Follows::Word, 20, 255),
    ("sk-", Follows::Word, 40, 255),
    ("SG.", Follows::Dotted, 40, 255), // SendGrid
    ("key-", Follows::Hex, 32, 32),    // Mailgun
    ("SK", Follows::Hex, 32, 32),      // Twilio
    ("npm_", Follows::Word, 36, 36),
    ("pypi-", Follows::Word, 40, 512),
    ("hf_", Follows::Word, 30, 64),    // Hugging Face
    ("dop_v1_", Follows::Hex, 64, 64), // DigitalOcean
    ("shpat_", Follows::Hex, 32, 32),  // Shopify
    ("shpca_", Follows::Hex, 32, 32),
    ("shppa_", Follows::Hex, 32, 32),
    ("shpss_", Follows::Hex, 32, 32),
    ("glsa_", Follows::Word, 32, 64),     // Grafana
    ("hvs.", Follows::Dotted, 24, 255),   // HashiCorp Vault
    ("dckr_pat_", Follows::Word, 27, 64), // Docker
    ("lin_api_", Follows::Word, 32, 64),  // Linear
    ("sq0atp-", Follows::Word, 22, 64),   // Square
    ("sq0csp-", Follows::Word, 43, 64),
    ("EAAA", Follows::Word, 56, 255),                      // Square, Facebook
    ("ATATT3", Follows::Dotted, 40, 512),                  // Atlassian
    ("NRAK-", Follows::Upper, 27, 27),                     // New Relic
    ("PMAK-", Follows::Word, 40, 80),                      // Postman
    ("rzp_live_", Follows::Word, 14, 32),                  // Razorpay
    ("access_token$production$", Follows::Dotted, 32, 64), // PayPal, Braintree
];

/// Keys of known families.
pub(crate) fn families(text: &[u8], take: &mut dyn FnMut(Range<usize>)) {
    let mut at = 0;
    while at < text.len() {
        if !text[at].is_ascii_alphabetic() || !(free_before(text, at) && (at == 0 || text[at - 1] != b'_')) {
            at += 1;
            continue;
        }
        match family(&text[at..]) {
            Some(length) => {
                take(at..at + length);
                at += length;
            }
            None => at += 1,
        }
    }
}

/// How long the key is that `text` begins with.
fn family(text: &[u8]) -> Option<usize> {
    FAMILIES.iter().filter(|(prefix, ..)| text.starts_with(prefix.as_bytes())).find_map(
        |(prefix, follows, least, most)| {
            let allowed = |b: u8| match follows {
                Follows::Upper => b.is_ascii_uppercase() || b.is_ascii_digit(),
                Follows::Hex => b.is_ascii_hexdigit(),
                Follows::Word => is_base64url(b),
                Follows::Dotted => is_base64url(b) || b == b'.',
            };
            let within = &text[..text.len().min(prefix.len() + most + 1)];
            let end = run(within, prefix.len(), allowed);
            let end = end - text[..end].iter().rev().take_while(|b| matches!(b, b'.')).count();
            let length = end.saturating_sub(prefix.len());
            ((*least..=*most).contains(&length) && free_after(text, end)).then_some(end)
        },
    )
}

/// Fewest characters of a random string: 20 of base64 hold 120 bits.
const MIN_RANDOM: usize = 20;

/// Long strings that look drawn at random: letters of both cases and digits mixed. Hexadecimal ones are as likely hashes, and
/// count only behind `Bearer` or where the name says token.
pub(crate) fn entropy(text: &[u8], hint: Hint, take: &mut dyn FnMut(Range<usize>)) {
    let allowed = |b: u8| is_base64url(b) || matches!(b, b'+' | b'/' | b'~');
    let mut at = 0;
    while at < text.len() {
        if !allowed(text[at]) {
            at += 1;
            continue;
        }
        let end = run(text, at, allowed);
        let padded = run(text, end, |b| b == b'=').min(end + 2);
        let bearer = {
            let before = &text[at.saturating_sub(7)..at];
            before.eq_ignore_ascii_case(b"bearer ") || hint == Hint::Bearer
        };
        if end - at >= MIN_RANDOM - if bearer { 4 } else { 0 } && is_random(&text[at..end], bearer) {
            take(at..padded);
        }
        at = padded.max(at + 1);
    }
}

/// Whether a run of characters reads like no word, path or number.
fn is_random(run: &[u8], bearer: bool) -> bool {
    let count = |kind: fn(&u8) -> bool| run.iter().filter(|b| kind(b)).count();
    let (upper, lower, digits) =
        (count(u8::is_ascii_uppercase), count(u8::is_ascii_lowercase), count(u8::is_ascii_digit));
    if run.iter().all(u8::is_ascii_hexdigit) || crate::shape::is_uuid(run) {
        return bearer && digits > 0 && upper + lower > 0;
    }
    let separators = run.len() - upper - lower - digits;
    // Words joined by dashes or slashes: few characters between two separators.
    if separators * 6 > run.len() {
        return false;
    }
    let kinds = [upper, lower, digits].iter().filter(|n| **n > 0).count();
    // How often a letter case or digit follows another kind; in words it seldom does.
    let kind = |b: u8| (b.is_ascii_uppercase(), b.is_ascii_lowercase(), b.is_ascii_digit());
    let changes = run.windows(2).filter(|w| kind(w[0]) != kind(w[1])).count();
    match kinds {
        2.. if bearer => true,
        3 => changes * 4 >= run.len(),
        2 => changes * 4 >= run.len() && digits >= 3,
        _ => false,
    }
}
