//! What holds for every body: masking never panics, gives content or a reason, and changes nothing the second time.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use shadow_mask::{MaskKey, Masker, RawBody, RawResponse, Ruleset};
use shadow_record::{Response, RouteTable};

fn answer(masker: &Masker, lines: &[(&'static str, String)], body: Bytes) -> Response {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.insert(*name, HeaderValue::from_str(value).expect("written by a target or by masking"));
    }
    masker.response("GET", "/", RawResponse { status: 200, headers, body: RawBody::Whole(body) })
}

pub(crate) fn mask(content_type: &str, coding: Option<&str>, body: &[u8]) {
    for rules in ["", "profile = \"detect\"\nphone_regions = [\"US\", \"DE\"]"] {
        let key = MaskKey::parse("a key for fuzzing of 32 characters.").expect("long enough");
        let masker = Masker::new(key, Ruleset::parse(rules).expect("valid"), RouteTable::default());
        let mut lines = vec![("content-type", content_type.to_owned())];
        lines.extend(coding.map(|coding| ("content-encoding", coding.to_owned())));
        let once = answer(&masker, &lines, Bytes::copy_from_slice(body));
        assert_eq!(once.body.content.is_none(), once.body.withheld.is_some());
        let Some(content) = once.body.content.filter(|content| !content.is_empty()) else { continue };
        let header = |name: &str| once.headers.iter().find(|line| line.name == name).map(|line| line.value.clone());
        let masked_type = header("content-type").expect("the type is never dropped");
        let twice = answer(&masker, &[("content-type", masked_type)], content.clone());
        assert_eq!(twice.body.content, Some(content));
    }
}
