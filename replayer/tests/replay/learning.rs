//! Sessions against services that issue their own cookies, tokens and identifiers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use shadow_control::{Control, Launch, LaunchStatus, LearnRule, Replay, SampleBy};
use shadow_record::{Outcome, ReplayedExchange};
use tokio::net::TcpListener;
use url::Url;

use crate::bench::{Answers, Bench, Candidate};
use crate::captured::{Agent, Asked, masker};

const ROUTES: [&str; 4] = ["POST /login", "POST /orders", "GET /orders/{id}", "PUT /orders/{id}"];

/// A shop that knows only what it issued itself.
#[derive(Default)]
struct Shop {
    /// Distinguishes what this one issues from what the others do.
    name: &'static str,
    first_order: u64,
    /// Session IDs with their token.
    sessions: BTreeMap<String, String>,
    /// Orders with the session that has them.
    orders: BTreeMap<u64, String>,
}

type Shared = State<Arc<Mutex<Shop>>>;

impl Shop {
    async fn start(name: &'static str, first_order: u64) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let shop = Arc::new(Mutex::new(Self { name, first_order, ..Self::default() }));
        let app = Router::new()
            .route("/login", post(login))
            .route("/orders", post(create))
            .route("/orders/{id}", get(read).put(update))
            .with_state(shop);
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    }

    /// The session of a request that has both its cookie and its token.
    fn session(&self, headers: &HeaderMap) -> Option<String> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let id = text(header::COOKIE).split("; ").find_map(|cookie| cookie.strip_prefix("sid="))?;
        let token = text(header::AUTHORIZATION).strip_prefix("Bearer ")?;
        (self.sessions.get(id)? == token).then(|| id.to_owned())
    }

    /// The status for a request for an order.
    fn order(&self, headers: &HeaderMap, id: u64) -> StatusCode {
        match self.session(headers) {
            None => StatusCode::UNAUTHORIZED,
            Some(session) if self.orders.get(&id) == Some(&session) => StatusCode::OK,
            Some(_) => StatusCode::NOT_FOUND,
        }
    }
}

fn answer(status: StatusCode, headers: &[(header::HeaderName, String)], body: String) -> Response {
    let mut response = (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
    for (name, value) in headers {
        response.headers_mut().append(name, value.parse().unwrap());
    }
    response
}

async fn login(State(shop): Shared) -> Response {
    let mut shop = shop.lock().unwrap();
    let n = shop.sessions.len();
    let (id, token) = (format!("{}-session-{n}", shop.name), format!("{}-token-{n}", shop.name));
    shop.sessions.insert(id.clone(), token.clone());
    let cookie = (header::SET_COOKIE, format!("sid={id}; Path=/; HttpOnly"));
    answer(StatusCode::OK, &[cookie], format!(r#"{{"token":"{token}"}}"#))
}

async fn create(State(shop): Shared, headers: HeaderMap) -> Response {
    let mut shop = shop.lock().unwrap();
    let Some(session) = shop.session(&headers) else {
        return answer(StatusCode::UNAUTHORIZED, &[], "{}".to_owned());
    };
    let id = shop.first_order + shop.orders.len() as u64;
    shop.orders.insert(id, session);
    answer(StatusCode::CREATED, &[], format!(r#"{{"order":{{"id":{id}}}}}"#))
}

async fn read(State(shop): Shared, Path(id): Path<u64>, headers: HeaderMap) -> Response {
    answer(shop.lock().unwrap().order(&headers, id), &[], "{}".to_owned())
}

/// The body has to name the order too.
async fn update(State(shop): Shared, Path(id): Path<u64>, headers: HeaderMap, body: String) -> Response {
    let status = match shop.lock().unwrap().order(&headers, id) {
        StatusCode::OK if body != format!(r#"{{"order":{id}}}"#) => StatusCode::BAD_REQUEST,
        status => status,
    };
    answer(status, &[], "{}".to_owned())
}

/// A client's cookie and token.
type Credentials = [(&'static str, String); 2];

/// Two clients side by side, as an agent captures them: each logs in, creates an order, reads and changes it.
async fn two_sessions(bench: &mut Bench) {
    let primary = Shop::start("primary", 700).await;
    let rules = "[[rule]]\nstrategy = 'token'\nheader = ['authorization']";
    let mut agent = Agent::new(bench, masker(rules, &ROUTES));
    let clients = ["alice", "bob"];
    let mut known: BTreeMap<&str, (Credentials, u64)> = BTreeMap::new();
    for session in clients {
        let asked = Asked { session, method: "POST", path: "/login", headers: &[], body: String::new() };
        let answered = agent.relay(&primary, asked).await;
        let cookie = answered.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        let body: serde_json::Value = serde_json::from_slice(&answered.body).unwrap();
        let token = format!("Bearer {}", body["token"].as_str().unwrap());
        known.insert(session, ([("cookie", cookie), ("authorization", token)], 0));
    }
    for session in clients {
        let (headers, order) = known.get_mut(session).unwrap();
        let asked = Asked { session, method: "POST", path: "/orders", headers, body: String::new() };
        let body: serde_json::Value = serde_json::from_slice(&agent.relay(&primary, asked).await.body).unwrap();
        *order = body["order"]["id"].as_u64().unwrap();
    }
    for method in ["GET", "PUT"] {
        for session in clients {
            let (headers, order) = &known[session];
            let body = if method == "PUT" { format!(r#"{{"order":{order}}}"#) } else { String::new() };
            let json = ("content-type", "application/json".to_owned());
            let headers = [headers.as_slice(), &[json]].concat();
            let path = format!("/orders/{order}");
            let answered = agent.relay(&primary, Asked { session, method, path: &path, headers: &headers, body }).await;
            assert_eq!(answered.status, 200);
        }
    }
}

async fn launch(bench: &Bench, learn: Vec<LearnRule>) -> Launch {
    let (candidate, control) = (Shop::start("candidate", 1).await, Shop::start("control", 50).await);
    let change = shadow_control::Change::by("test", "test");
    let mut launch = Launch::of(bench.launch.clone(), bench.service.clone(), candidate, change);
    launch.isolation = Some("stores of their own".to_owned());
    launch.control = Some(Control { url: control, sample: 1.0 });
    launch.replay = Replay { sample_by: SampleBy::Session, learn, ..Replay::default() };
    launch
}

/// Status of candidate and control for each captured offset.
fn statuses(records: &[ReplayedExchange]) -> Vec<(u16, u16)> {
    let by_offset: BTreeMap<_, _> = records.iter().map(|record| (record.offset, record)).collect();
    let status = |record: &ReplayedExchange| {
        let Outcome::Completed(candidate) = &record.outcome else { panic!("{:?}", record.outcome) };
        let control = record.control.as_ref().expect("every request goes to the control too");
        (candidate.status, control.answer.as_ref().unwrap().status)
    };
    by_offset.into_values().map(status).collect()
}

pub(crate) async fn what_the_shadow_issues_is_put_into_later_requests_of_the_session(brokers: &str) {
    let mut bench = Bench::new(brokers, "learns", 1).await;
    two_sessions(&mut bench).await;
    let rule = |name: &str, route: &str| LearnRule {
        name: name.to_owned(),
        route: Some(route.to_owned()),
        header: None,
        cookie: None,
        json: None,
        into: Vec::new(),
    };
    let learn = vec![
        LearnRule { cookie: Some("sid".to_owned()), ..rule("session", "POST /login") },
        LearnRule { json: Some("$.token".to_owned()), ..rule("token", "POST /login") },
        LearnRule { json: Some("$.order.id".to_owned()), ..rule("order", "POST /orders") },
    ];
    let put = launch(&bench, learn).await;
    bench.put(put).await;
    let replayer = bench.replayer("learns-1");
    let account = bench.outcomes().await;
    let expected = [(200, 200), (200, 200), (201, 201), (201, 201), (200, 200), (200, 200), (200, 200), (200, 200)];
    assert_eq!(statuses(&account.records), expected);
    for record in &account.records {
        let mut rewritten = record.rewritten.clone();
        rewritten.sort();
        let expected: &[&str] = match record.offset {
            0 | 1 => &[],
            2 | 3 => &["learned:session", "learned:token"],
            _ => &["learned:order", "learned:session", "learned:token"],
        };
        assert_eq!(rewritten, expected, "offset {}", record.offset);
    }
    let counted =
        |name: &'static str, count: i64| move |s: &shadow_record::Status| s.counters.get(name) == Some(&count);
    bench.heartbeat("learns-1", counted("substituted", 6)).await;
    bench.heartbeat("learns-1", counted("learned", 6)).await;
    replayer.stop().await;
}

pub(crate) async fn without_learning_a_session_fails_at_the_shadow(brokers: &str) {
    let mut bench = Bench::new(brokers, "unlearned", 1).await;
    two_sessions(&mut bench).await;
    let put = launch(&bench, Vec::new()).await;
    bench.put(put).await;
    let replayer = bench.replayer("unlearned-1");
    let account = bench.outcomes().await;
    let login = [(200, 200); 2].into_iter();
    assert_eq!(statuses(&account.records), login.chain([(401, 401); 6]).collect::<Vec<_>>());
    assert!(account.records.iter().all(|record| record.rewritten.is_empty()));
    replayer.stop().await;
}

/// Learns the session cookie that the target sets.
fn session_cookie() -> LearnRule {
    LearnRule {
        name: "session".to_owned(),
        route: None,
        header: None,
        cookie: Some("sid".to_owned()),
        json: None,
        into: Vec::new(),
    }
}

pub(crate) async fn a_control_that_fails_once_is_out_of_the_session(brokers: &str) {
    let mut bench = Bench::new(brokers, "unlearned-control", 1).await;
    two_sessions(&mut bench).await;
    let mut put = launch(&bench, vec![session_cookie()]).await;
    // Nothing listens on port 1.
    put.control = Some(Control { url: "http://127.0.0.1:1/".parse().unwrap(), sample: 1.0 });
    bench.put(put).await;
    let replayer = bench.replayer("unlearned-control-1");
    let account = bench.outcomes().await;
    let asked: BTreeSet<_> =
        account.records.iter().filter(|record| record.control.is_some()).map(|record| record.offset).collect();
    assert_eq!(asked, [0, 1].into(), "each session's first request only");
    replayer.stop().await;
}

pub(crate) async fn a_session_whose_login_was_cancelled_is_not_held_against_the_candidate(brokers: &str) {
    let mut bench = Bench::new(brokers, "unlearned-killed", 1).await;
    two_sessions(&mut bench).await;
    let candidate = Candidate::start(Answers::Held).await;
    let mut put = launch(&bench, vec![session_cookie()]).await;
    (put.candidate, put.control) = (candidate.url(), None);
    bench.put(put.clone()).await;
    let replayer = bench.replayer("unlearned-killed-1");
    candidate.asked_at_least(2).await;
    put.status = LaunchStatus::Paused;
    bench.put(put.clone()).await;
    bench.heartbeat("unlearned-killed-1", |s| s.counters.get("failed_killed") == Some(&2)).await;
    put.status = LaunchStatus::Active;
    bench.put(put).await;
    let account = bench.outcomes().await;
    replayer.stop().await;
    assert_eq!((account.counts(), candidate.asked()), ([("killed", 2), ("session_stuck", 6)].into(), 2));
}
