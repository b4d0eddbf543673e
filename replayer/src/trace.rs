//! W3C trace context: every replayed request begins a trace of its own, linked to the one it was captured in.
//!
//! Stands behind rewriting. Pure. Guarantees: no replayed request joins a trace of production, so that what the shadow does never shows there;
//! a resend has the trace of the first send; the captured sampling decision is kept, and without one nothing is sampled; what does not parse is
//! dropped, as the standard asks.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use shadow_control::{Mark, TraceId, to_baggage};

/// Headers of the trace context.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");
/// Our entry in the trace state.
const OWN_KEY: &str = "shadowline";
/// Entries of a trace state, and its length, that everybody passes on (W3C Trace Context, 3.3).
const MOST_ENTRIES: usize = 32;
const LONGEST_STATE: usize = 512;

/// A parsed `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parent<'h> {
    trace: &'h str,
    span: &'h str,
    sampled: bool,
}

impl<'h> Parent<'h> {
    fn parse(value: &'h str) -> Option<Self> {
        let hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let id = |text: &str, length| text.len() == length && hex(text) && text.bytes().any(|b| b != b'0');
        let mut parts = value.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // Later versions may append parts; this one has four.
        let known =
            version.len() == 2 && hex(version) && version != "ff" && (version != "00" || parts.next().is_none());
        if !known || !id(trace, 32) || !id(span, 16) || flags.len() != 2 || !hex(flags) {
            return None;
        }
        let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        Some(Self { trace, span, sampled })
    }
}

/// Trace and span of a replayed request: the trace tells the stub which request an outbound call was made for, the span looks random
/// to everyone without the masking key (`sign`).
pub fn ids(mark: &Mark, sign: impl Fn(&[u8]) -> [u8; 16]) -> [u8; 24] {
    let Mark { launch, request_id, attempt, leg, .. } = mark;
    let mut ids = [0; 24];
    ids[..16].copy_from_slice(&TraceId::of(request_id, launch, *leg).0);
    // A mark begins with a launch and its request ID; nothing that begins like this is one.
    ids[16..].copy_from_slice(&sign(format!("span;{launch};{request_id};{attempt};{leg:?}").as_bytes())[..8]);
    ids
}

/// Adds the signed mark to the W3C baggage.
pub fn carry(headers: &mut HeaderMap, mark: &HeaderValue) {
    let member = mark.to_str().ok().and_then(|mark| HeaderValue::from_str(&to_baggage(mark)).ok());
    if let Some(member) = member {
        headers.append(BAGGAGE, member);
    }
}

/// Replaces the captured trace context by a new one. `ids` are 24 random bytes, the same for every send of the same request.
pub fn begin(headers: &mut HeaderMap, ids: &[u8; 24]) {
    let only = |name: HeaderName| -> Option<&str> {
        let mut values = headers.get_all(name).iter();
        values.next()?.to_str().ok().filter(|_| values.next().is_none())
    };
    let captured = only(TRACEPARENT).and_then(Parent::parse);
    let state = captured.map(|parent| {
        let values: Vec<_> = headers.get_all(TRACESTATE).iter().map(|value| value.to_str().ok()).collect();
        linked(parent, &entries(&values).unwrap_or_default())
    });
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let sampled = u8::from(captured.is_some_and(|parent| parent.sampled));
    let parent = format!("00-{}-{}-{sampled:02x}", hex(&ids[..16]), hex(&ids[16..]));
    for (name, value) in [(TRACEPARENT, Some(parent)), (TRACESTATE, state)] {
        headers.remove(&name);
        // Both consist of what was checked above.
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            headers.insert(name, value);
        }
    }
}

/// The trace state with the original first, cut to what everybody passes on.
fn linked(Parent { trace, span, .. }: Parent<'_>, entries: &[&str]) -> String {
    let mut state = format!("{OWN_KEY}={trace}-{span}");
    for entry in entries.iter().take(MOST_ENTRIES - 1) {
        if state.len() + 1 + entry.len() > LONGEST_STATE {
            break;
        }
        state.push(',');
        state.push_str(entry);
    }
    state
}

/// The entries of the captured trace state but ours; `None` when one is malformed.
fn entries<'h>(values: &[Option<&'h str>]) -> Option<Vec<&'h str>> {
    let mut entries = Vec::new();
    for value in values {
        for entry in (*value)?.split(',').map(|entry| entry.trim_matches([' ', '\t'])).filter(|entry| !entry.is_empty())
        {
            let (key, value) = entry.split_once('=')?;
            let in_key = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-*/@".contains(&b);
            let in_value = |b: u8| (b' '..=b'~').contains(&b) && b != b'=';
            let lengths = (1..=256).contains(&key.len()) && (1..=256).contains(&value.len());
            if !lengths || !key.bytes().all(in_key) || !value.bytes().all(in_value) {
                return None;
            }
            if key != OWN_KEY {
                entries.push(entry);
            }
        }
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn begun(captured: &[(&str, &str)]) -> (String, Option<String>) {
        let mut headers = HeaderMap::new();
        for (name, value) in captured {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        begin(&mut headers, &[7; 24]);
        let one = |name| {
            let mut values = headers.get_all(name).iter().map(|value: &HeaderValue| value.to_str().unwrap().to_owned());
            let value = values.next();
            assert_eq!(values.next(), None);
            value
        };
        (one("traceparent").unwrap(), one("tracestate"))
    }

    fn new(flags: &str) -> String {
        format!("00-{}-{}-{flags}", "07".repeat(16), "07".repeat(8))
    }

    #[test]
    fn a_new_trace_keeps_the_sampled_flag_and_names_the_original() {
        let state = |more: &str| Some(format!("shadowline={TRACE}-{SPAN}{more}"));
        let parent = |flags: &str| format!("00-{TRACE}-{SPAN}-{flags}");
        assert_eq!(begun(&[]), (new("00"), None));
        assert_eq!(begun(&[("traceparent", &parent("00"))]), (new("00"), state("")));
        assert_eq!(begun(&[("traceparent", &parent("03"))]), (new("01"), state("")));
        let later = format!("cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like");
        assert_eq!(begun(&[("traceparent", &later)]), (new("01"), state("")));
        let with_state = [
            ("traceparent", &*parent("01")),
            ("tracestate", "rojo=00f067aa0ba902b7 , shadowline=old-one,"),
            ("tracestate", "tenant@vendor=t61"),
        ];
        assert_eq!(begun(&with_state), (new("01"), state(",rojo=00f067aa0ba902b7,tenant@vendor=t61")));
    }

    #[test]
    fn what_is_malformed_is_dropped() {
        for parent in [
            "",
            "msk_aaaaaaaaaaaaaaaaaaaaaaaa",
            &format!("00-{}-{SPAN}-01", "0".repeat(32)),
            &format!("00-{TRACE}-{}-01", "0".repeat(16)),
            &format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            &format!("00-{TRACE}-{SPAN}-1"),
            &format!("00-{TRACE}-{SPAN}-01-more"),
            &format!("ff-{TRACE}-{SPAN}-01"),
            &format!("0-{TRACE}-{SPAN}-01"),
        ] {
            assert_eq!(begun(&[("traceparent", parent), ("tracestate", "rojo=1")]), (new("00"), None), "{parent}");
        }
        let parent = format!("00-{TRACE}-{SPAN}-01");
        assert_eq!(begun(&[("traceparent", &parent), ("traceparent", &parent)]), (new("00"), None));
        for state in ["rojo", "Rojo=1", "rojo=", "=1", "a=1=2", "ok=1,b\tc=1"] {
            let (_, state) = begun(&[("traceparent", &parent), ("tracestate", state)]);
            assert_eq!(state.unwrap(), format!("shadowline={TRACE}-{SPAN}"));
        }
    }

    #[test]
    fn a_trace_state_is_cut_between_entries() {
        let parent = format!("00-{TRACE}-{SPAN}-01");
        let many: Vec<_> = (0..40).map(|n| format!("k{n}=v")).collect();
        let (_, state) = begun(&[("traceparent", &parent), ("tracestate", &many.join(","))]);
        assert_eq!(state.unwrap().split(',').count(), MOST_ENTRIES);
        let long: Vec<_> = (0..4).map(|n| format!("k{n}={}", "v".repeat(200))).collect();
        let (_, state) = begun(&[("traceparent", &parent), ("tracestate", &long.join(","))]);
        let state = state.unwrap();
        assert!(state.len() <= LONGEST_STATE && state.ends_with("vv") && state.split(',').count() == 3, "{state}");
    }
}
