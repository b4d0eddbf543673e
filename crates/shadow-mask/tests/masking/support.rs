//! A masker and messages for the tests of this crate.
#![allow(clippy::unwrap_used)] // these are part of tests, outside test functions

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use shadow_mask::{MaskKey, Masker, RawBody, RawRequest, RawResponse, Ruleset};
use shadow_record::{Request, Response, RouteTable};

pub(crate) fn masker(rules: &str, routes: &[&str]) -> Masker {
    let key = MaskKey::parse("an example key of 32 characters.").unwrap();
    Masker::new(key, Ruleset::parse(rules).unwrap(), RouteTable::parse(routes).unwrap())
}

pub(crate) fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    lines
        .iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap()))
        .fold(HeaderMap::new(), |mut headers, (name, value)| {
            headers.append(name, value);
            headers
        })
}

pub(crate) fn request(target: &str, lines: &[(&str, &str)], body: &[u8]) -> RawRequest {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    RawRequest {
        method: "GET".to_owned(),
        scheme: "http".to_owned(),
        authority: "shop.example".to_owned(),
        path: path.to_owned(),
        query: query.map(str::to_owned),
        headers: headers(lines),
        body: RawBody::Whole(Bytes::copy_from_slice(body)),
    }
}

pub(crate) fn response(lines: &[(&str, &str)], body: &[u8]) -> RawResponse {
    RawResponse { status: 200, headers: headers(lines), body: RawBody::Whole(Bytes::copy_from_slice(body)) }
}

/// What a replayer would send: the masked request as a raw one.
pub(crate) fn again(masked: &Request) -> RawRequest {
    let lines: Vec<_> = masked.headers.iter().map(|h| (h.name.as_str(), h.value.as_str())).collect();
    RawRequest {
        method: masked.method.clone(),
        scheme: masked.scheme.clone(),
        authority: masked.authority.clone(),
        path: masked.path.clone(),
        query: masked.query.clone(),
        headers: headers(&lines),
        body: RawBody::Whole(masked.body.content.clone().unwrap_or_default()),
    }
}

pub(crate) fn again_response(masked: &Response) -> RawResponse {
    let lines: Vec<_> = masked.headers.iter().map(|h| (h.name.as_str(), h.value.as_str())).collect();
    response(&lines, &masked.body.content.clone().unwrap_or_default())
}

/// A message as text, the way HTTP writes it.
pub(crate) fn show(request: &Request) -> String {
    let query = request.query.as_deref().map(|q| format!("?{q}")).unwrap_or_default();
    let head = format!("{} {}://{}{}{query}\n", request.method, request.scheme, request.authority, request.path);
    head + &show_rest(&request.headers, &request.body)
}

pub(crate) fn show_response(response: &Response) -> String {
    format!("{}\n", response.status) + &show_rest(&response.headers, &response.body)
}

fn show_rest(headers: &[shadow_record::Header], body: &shadow_record::Body) -> String {
    let lines: String = headers.iter().map(|h| format!("{}: {}\n", h.name, h.value)).collect();
    match &body.content {
        Some(content) => format!("{lines}\n{}", String::from_utf8_lossy(content)),
        None => format!("{lines}\n(withheld: {:?}, {} bytes)", body.withheld.unwrap(), body.length),
    }
}
