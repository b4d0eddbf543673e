//! The mark that every replayed request carries, so that an agent who sees one knows the shadow has reached production.
//!
//! It is signed under the masking key: a client that copies the header cannot make an agent pause the launches.

use percent_encoding::percent_decode_str;
use shadow_record::{LaunchName, RequestId};
use uuid::Uuid;

/// Header that carries the mark.
pub const MARK_HEADER: &str = "shadowline-replay";

/// What a replayed request says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The launch it belongs to.
    pub launch: LaunchName,
    /// The captured exchange.
    pub request_id: RequestId,
    /// 1 for the first send; 0 for a handshake, which replays nothing.
    pub attempt: i32,
    /// To whom it was sent.
    pub leg: Leg,
    /// The number of this send, which nothing else that is sent has: what is sent again after a crash has another. 0 in the marks of
    /// earlier versions.
    pub send: i64,
}

/// Which of the launch's targets a replayed request was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leg {
    /// The candidate.
    Candidate,
    /// The control: the second copy of the live build.
    Control,
}

/// The fourth part of a mark. Earlier versions read three parts or four and leave the rest.
const CANDIDATE: &str = "candidate";
const CONTROL: &str = "control";

impl Mark {
    /// The header's value. `sign` is the keyed HMAC of the masking key.
    pub fn sign(&self, sign: impl FnOnce(&[u8]) -> [u8; 16]) -> String {
        let leg = match self.leg {
            Leg::Candidate => CANDIDATE,
            Leg::Control => CONTROL,
        };
        let body = format!("{};{};{};{leg};{}", self.launch, self.request_id, self.attempt, self.send);
        let tag = hex(&sign(body.as_bytes()));
        format!("{body};{tag}")
    }

    /// Reads a header's value; `None` unless the signature verifies.
    pub fn verify(value: &str, sign: impl FnOnce(&[u8]) -> [u8; 16]) -> Option<Self> {
        let (body, tag) = value.rsplit_once(';')?;
        if !same(hex(&sign(body.as_bytes())).as_bytes(), tag.as_bytes()) {
            return None;
        }
        let mut parts = body.split(';');
        Some(Self {
            launch: parts.next()?.parse().ok()?,
            request_id: RequestId(Uuid::parse_str(parts.next()?).ok()?),
            attempt: parts.next()?.parse().ok()?,
            leg: if parts.next() == Some(CONTROL) { Leg::Control } else { Leg::Candidate },
            send: parts.next().map_or(Some(0), |send| send.parse().ok())?,
        })
    }
}

/// The mark as a member of the W3C baggage, which services with OpenTelemetry pass on to whom they call.
pub fn to_baggage(mark: &str) -> String {
    // Semicolons separate the properties of a member.
    format!("{MARK_HEADER}={}", mark.replace(';', "%3B"))
}

/// The marks that a `baggage` header claims to hold, not verified.
pub fn in_baggage(header: &str) -> impl Iterator<Item = String> {
    header.split(',').filter_map(|member| {
        let (key, rest) = member.split_once('=')?;
        let value = rest.split(';').next()?.trim();
        (key.trim() == MARK_HEADER).then(|| percent_decode_str(value).decode_utf8_lossy().into_owned())
    })
}

/// Compares without telling by its time how much was right.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(key: u8) -> impl Fn(&[u8]) -> [u8; 16] {
        move |body| {
            std::array::from_fn(|i| body.iter().fold(key, |sum, b| sum.rotate_left(1) ^ b).wrapping_add(i as u8))
        }
    }

    #[test]
    fn only_a_mark_signed_under_the_key_is_believed() {
        let (launch, request_id) = ("v2".parse().unwrap(), RequestId::generate());
        let mark = Mark { launch, request_id, attempt: 1, leg: Leg::Candidate, send: 77 };
        let to_control = Mark { leg: Leg::Control, ..mark.clone() };
        assert_eq!(Mark::verify(&to_control.sign(signer(7)), signer(7)), Some(to_control));
        let value = mark.sign(signer(7));
        assert_eq!(Mark::verify(&value, signer(7)), Some(mark));
        assert_eq!(Mark::verify(&value, signer(8)), None);
        assert_eq!(Mark::verify(&value.replacen("v2", "v3", 1), signer(7)), None);
        assert_eq!(Mark::verify("v2", signer(7)), None);
    }

    #[test]
    fn a_mark_survives_the_baggage_of_others() {
        let mark = "v2;0192f0c1-2f3a-7c44-9d1e-5b6f0a7c8d90;1;control;07ab";
        let header = format!("a=b;p=1, {} , c=%20", to_baggage(mark));
        assert_eq!(in_baggage(&header).collect::<Vec<_>>(), [mark]);
        let encoded_more = format!("{MARK_HEADER} = v2%3b1%2D;ttl=1");
        assert_eq!(in_baggage(&encoded_more).collect::<Vec<_>>(), ["v2;1-"]);
        assert_eq!(in_baggage("x=1,shadowline-replay").count(), 0);
    }
}
