//! Against targets that behave badly, over real sockets.

use std::net::SocketAddr;

use shadow_control::{Change, Upstream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;

const METRICS: &str = "# TYPE process_open_fds gauge\nprocess_open_fds 7\n";

/// A target that tells each request's head and then does what the test says.
async fn target<F, Fut>(act: F) -> (SocketAddr, mpsc::UnboundedReceiver<String>)
where
    F: Fn(TcpStream) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, heads) = mpsc::unbounded_channel();
    let act = Arc::new(act);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (tell, act) = (tell.clone(), act.clone());
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                let _ = tell.send(String::from_utf8(head).unwrap());
                act(stream).await;
            });
        }
    });
    (address, heads)
}

/// Answers with these bytes and closes.
async fn answering(bytes: String) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    target(move |mut stream| {
        let bytes = bytes.clone();
        async move { drop(stream.write_all(bytes.as_bytes()).await) }
    })
    .await
}

fn answer(headers: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

fn heard() -> ControlState {
    ControlState { caught_up: true, ..ControlState::empty() }
}

/// The target is called `candidate`.
fn asking(url: &str, state: ControlState) -> TargetMetrics {
    crate::use_ring();
    let (_, control) = watch::channel(Arc::new(state));
    TargetMetrics::new(&BTreeMap::from([("candidate".to_owned(), url.parse().unwrap())]), control).unwrap()
}

async fn shown_of(bytes: String) -> Result<Exposition, NotShown> {
    let (address, _heads) = answering(bytes).await;
    asking(&format!("http://{address}/metrics"), heard()).shown("candidate").await
}

/// The whole answer of the admin route, as its caller gets it.
async fn passed_on(targets: TargetMetrics, name: &str) -> (StatusCode, HeaderMap, String) {
    let (listener, router) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), targets.routes());
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let asked = reqwest::Client::new().get(format!("http://{address}/targets/{name}/metrics?x=1"));
    let answer = asked.header("cookie", "callers").header("x-own", "callers").send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    let text = answer.text().await.unwrap();
    server.abort();
    (status, headers, text)
}

#[tokio::test]
async fn metrics_are_passed_on_as_they_are_with_nothing_of_the_callers_request() {
    let own = "content-type: text/plain; version=0.0.4\r\nset-cookie: candidates=1\r\n";
    let (address, mut heads) = answering(answer(own, METRICS)).await;
    let targets = asking(&format!("http://{address}/stats?format=prometheus"), heard());
    let (status, headers, text) = passed_on(targets, "candidate").await;
    assert_eq!((status, text.as_str()), (StatusCode::OK, METRICS));
    assert!(headers[CONTENT_TYPE] == PLAIN && headers[X_CONTENT_TYPE_OPTIONS] == "nosniff", "{headers:?}");
    assert!(!headers.contains_key("set-cookie"), "{headers:?}");
    let head = heads.recv().await.unwrap();
    assert!(head.starts_with("GET /stats?format=prometheus HTTP/1.1\r\n"), "{head}");
    let mut names: Vec<_> = head.lines().skip(1).filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect();
    names.sort();
    assert_eq!(names, ["accept", "host"], "{head}");
}

#[tokio::test]
async fn each_format_keeps_its_type() {
    for (given, told) in [
        ("text/plain", PLAIN),
        ("Text/Plain; charset=latin-1", PLAIN),
        ("application/openmetrics-text; version=0.0.1", OPENMETRICS),
    ] {
        let (format, _) = shown_of(answer(&format!("content-type: {given}\r\n"), METRICS)).await.unwrap();
        assert_eq!(format, told, "{given}");
    }
}

#[tokio::test]
async fn what_is_not_metrics_as_text_is_not_passed_on() {
    for headers in [
        "",
        "content-type: text/html\r\n",
        "content-type: application/json\r\n",
        "content-type: application/vnd.google.protobuf\r\n",
        "content-type: text/plain\r\ncontent-encoding: gzip\r\n",
    ] {
        let refused = shown_of(answer(headers, METRICS)).await;
        assert!(matches!(refused, Err(NotShown::Format(_))), "{headers}: {refused:?}");
    }
    let refused = shown_of(answer("content-type: text/plain\r\n", "up 1\nhello <b>world</b>\n")).await.unwrap_err();
    assert!(matches!(refused, NotShown::NotMetrics { line: 2, .. }), "{refused:?}");
    assert!(!refused.to_string().contains("world"), "{refused}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (elsewhere, mut heads) = answering(answer("content-type: text/plain\r\n", METRICS)).await;
    let redirect = format!("HTTP/1.1 302 Found\r\nlocation: http://{elsewhere}/\r\ncontent-length: 0\r\n\r\n");
    let refused = shown_of(redirect).await;
    assert!(matches!(refused, Err(NotShown::Status { status: 302, .. })), "{refused:?}");
    assert!(heads.try_recv().is_err());
}

#[tokio::test]
async fn any_other_status_is_not_passed_on() {
    for status in [204, 206, 401, 404, 500] {
        let refused = shown_of(format!("HTTP/1.1 {status} X\r\ncontent-type: text/plain\r\n\r\n")).await.unwrap_err();
        assert!(matches!(refused, NotShown::Status { status: given, .. } if given == status), "{refused:?}");
        assert_eq!(refused.status(), StatusCode::BAD_GATEWAY);
    }
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let (address, _heads) = target(|mut stream| async move {
        let chunk = format!("10000\r\n{}\r\n", "up 1\nup 22\nup 3\n".repeat(0x1000));
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut sent = stream.write_all(head).await;
        while sent.is_ok() {
            sent = stream.write_all(chunk.as_bytes()).await;
        }
    })
    .await;
    let refused = asking(&format!("http://{address}/"), heard()).shown("candidate").await;
    assert!(matches!(refused, Err(NotShown::TooLong(_))), "{refused:?}");
}

#[tokio::test]
async fn the_longest_answer_is_passed_on_whole() {
    let longest = "up 1\n".repeat(LONGEST / 5);
    let (_, text) = shown_of(answer("content-type: text/plain\r\n", &longest)).await.unwrap();
    assert!(text == longest);
    let longer = "up 1\n".repeat(LONGEST / 5 + 1);
    let refused = shown_of(answer("content-type: text/plain\r\n", &longer)).await;
    assert!(matches!(refused, Err(NotShown::TooLong(_))), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_target_is_given_up() {
    // The clock of the test jumps whenever nothing else is left to do, so this ends at once, and never without the limit.
    for part in ["", "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 99\r\n\r\nup 1\n"] {
        let (address, _heads) = target(move |mut stream| async move {
            drop(stream.write_all(part.as_bytes()).await);
            std::future::pending().await
        })
        .await;
        let refused = asking(&format!("http://{address}/"), heard()).shown("candidate").await;
        assert!(matches!(refused, Err(NotShown::Slow(_))), "{part}: {refused:?}");
    }
}

#[tokio::test]
async fn a_target_that_is_down_or_breaks_off_is_named_with_the_cause() {
    let (address, _heads) = answering(String::new()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let down = listener.local_addr().unwrap();
    drop(listener);
    for address in [address, down] {
        let (status, _, text) = passed_on(asking(&format!("http://{address}/metrics"), heard()), "candidate").await;
        assert_eq!(status, StatusCode::BAD_GATEWAY);
        assert!(text.starts_with(&format!("http://{address}/metrics did not answer: ")), "{text}");
    }
    let (status, _, text) = passed_on(asking("http://nowhere.invalid/metrics", heard()), "candidate").await;
    assert!(status == StatusCode::BAD_GATEWAY && text.contains("nowhere.invalid does not resolve"), "{text}");
}

#[tokio::test]
async fn a_name_that_was_not_configured_is_unknown() {
    for name in ["nobody", "candidate%2f..", "http:%2f%2f127.0.0.1"] {
        let (status, _, text) = passed_on(asking("http://127.0.0.1:1/", heard()), name).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{name}: {text}");
        assert!(text.contains("names: candidate"), "{text}");
    }
}

#[tokio::test]
async fn production_is_never_asked() {
    let (address, mut heads) = answering(answer("content-type: text/plain\r\n", METRICS)).await;
    let upstream = Upstream {
        service: "shop".parse().unwrap(),
        instance: "a1".to_owned(),
        addresses: vec![address.to_string()],
        change: Change::by("a1", ""),
    };
    let mut state = heard();
    state.upstreams.insert("upstream/shop/a1".to_owned(), upstream);
    for host in ["127.0.0.1", "localhost"] {
        let refused = asking(&format!("http://{host}:{}/", address.port()), state.clone()).shown("candidate").await;
        assert!(matches!(refused, Err(NotShown::Refused(Refusal::Upstream { .. }))), "{host}: {refused:?}");
    }
    let unheard = asking(&format!("http://{address}/"), ControlState::empty()).shown("candidate").await.unwrap_err();
    assert!(matches!(unheard, NotShown::TooEarly), "{unheard:?}");
    assert_eq!(unheard.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(heads.try_recv().is_err());
}

#[tokio::test]
async fn only_so_many_are_asked_at_once() {
    let (address, mut heads) = target(|stream| async move {
        let _open = stream;
        std::future::pending().await
    })
    .await;
    let targets = Arc::new(asking(&format!("http://{address}/"), heard()));
    let waiting: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let targets = targets.clone();
            tokio::spawn(async move { targets.shown("candidate").await })
        })
        .collect();
    for _ in 0..AT_ONCE {
        heads.recv().await.unwrap();
    }
    let refused = targets.shown("candidate").await.unwrap_err();
    assert!(matches!(refused, NotShown::Busy), "{refused:?}");
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    for task in waiting {
        task.abort();
        drop(task.await);
    }
    assert_eq!(targets.places.available_permits(), AT_ONCE);
}
