//! Who may call the admin endpoint.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use std::sync::Arc;
use subtle::ConstantTimeEq as _;

use crate::Secret;

/// Lets a request through when it bears the token, or, where none is set, when it cannot come from a web page.
pub(super) async fn guard(State(token): State<Option<Arc<Secret>>>, request: Request, next: Next) -> Response {
    match refusal(token.as_deref(), request.method(), request.headers()) {
        None => next.run(request).await,
        Some((StatusCode::UNAUTHORIZED, why)) => {
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], why).into_response()
        }
        Some(refused) => refused.into_response(),
    }
}

fn refusal(token: Option<&Secret>, method: &Method, headers: &HeaderMap) -> Option<(StatusCode, &'static str)> {
    match token {
        Some(token) if bears(token, headers) => None,
        Some(_) => Some((StatusCode::UNAUTHORIZED, "send `Authorization: Bearer` with the token of admin.token\n")),
        // Loopback is open to the browser of whoever works on this host: pages name their origin, and a name that was
        // rebound to 127.0.0.1 shows in Host.
        None if method != Method::GET && headers.contains_key(header::ORIGIN) => {
            Some((StatusCode::FORBIDDEN, "requests from web pages are refused\n"))
        }
        None if !names_this_host(headers) => {
            Some((StatusCode::FORBIDDEN, "the Host header must be localhost or an address\n"))
        }
        None => None,
    }
}

fn bears(token: &Secret, headers: &HeaderMap) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().split_at_checked(7));
    let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer ")).map(|(_, token)| token);
    given.is_some_and(|given| given.ct_eq(token.expose().as_bytes()).into())
}

fn names_this_host(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let Ok(authority) = axum::http::uri::Authority::try_from(host.as_bytes()) else { return false };
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || bare.parse::<std::net::IpAddr>().is_ok()
}
