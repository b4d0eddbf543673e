//! Handshakes with real servers: what counts as the answer, and what the gate does.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use prometheus_client::registry::Registry;
use shadow_control::ControlState;
use shadow_mask::{MaskKey, Ruleset};
use shadow_record::RouteTable;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use super::*;
use crate::metrics::Metrics;
use crate::target::Lists;

const RIGHT: &str = "HTTP/1.1 200 OK\r\nx-stage: shadow\r\ncontent-length: 0\r\n\r\n";
const WRONG: &str = "HTTP/1.1 200 OK\r\nx-stage: production\r\ncontent-length: 0\r\n\r\n";

/// A server that answers every request's head with what `answer` gives, and tells each head.
async fn server(answer: impl Fn() -> String + Send + Sync + 'static) -> (Url, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/base/", listener.local_addr().unwrap()).parse().unwrap();
    let (tell, asked) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).await.is_ok_and(|read| read > 0) {}
            drop(tell.send(head));
            let mut text = answer();
            let endless = text.contains("endless");
            while stream.write_all(text.as_bytes()).await.is_ok() && endless {
                text = "x".repeat(1 << 16);
            }
        }
    });
    (url, asked)
}

fn masker() -> Arc<Masker> {
    Arc::new(Masker::new(MaskKey::parse(&"k".repeat(32)).unwrap(), Ruleset::default(), RouteTable::default()))
}

fn question(target: &Url, path: &str) -> Result<Question, Unproved> {
    crate::use_ring();
    let (_, control) = watch::channel(Arc::new(ControlState::empty()));
    let resolver = ProvingResolver { target: target.clone(), lists: Lists::default(), control };
    let traffic = Traffic::new(std::time::Duration::from_secs(1));
    let handshake = Handshake { path: path.to_owned(), header: "X-Stage".to_owned(), value: "shadow".to_owned() };
    Question::new(&handshake, (target, Leg::Candidate), &"v2".parse().unwrap(), &masker(), &traffic, resolver)
}

fn ledger() -> Ledger {
    Metrics::register(&mut Registry::default()).ledger(&"v2".parse().unwrap())
}

#[tokio::test]
async fn it_asks_for_the_path_below_the_target_with_the_signed_mark() {
    let (url, mut asked) = server(|| RIGHT.to_owned()).await;
    question(&url, "/healthz?deep=1").unwrap().ask().await.unwrap();
    let head = asked.recv().await.unwrap();
    assert!(head.starts_with("GET /base/healthz?deep=1 HTTP/1.1\r\n"), "{head}");
    let mark = head.lines().find_map(|line| line.strip_prefix("shadowline-replay: ")).unwrap();
    let mark = Mark::verify(mark, |body| masker().mark_tag(body)).unwrap();
    assert_eq!((mark.launch.as_str(), mark.attempt), ("v2", 0));
}

#[tokio::test]
async fn only_success_with_the_value_is_an_answer() {
    let elsewhere = server(|| RIGHT.to_owned()).await.0;
    let redirect =
        format!("HTTP/1.1 302 Found\r\nlocation: {elsewhere}\r\nx-stage: shadow\r\ncontent-length: 0\r\n\r\n");
    for (answer, told) in [
        (WRONG.to_owned(), Some("without the expected value of header x-stage")),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned(), Some("without the expected value")),
        (redirect, Some("status 302")),
        ("HTTP/1.1 500 No\r\nx-stage: shadow\r\ncontent-length: 0\r\n\r\n".to_owned(), Some("status 500")),
        ("SSH-2.0-OpenSSH_9.9\r\n".to_owned(), Some("did not answer")),
        (String::new(), Some("did not answer")),
        (format!("HTTP/1.1 200 OK\r\nendless: {}", "x".repeat(1 << 20)), Some("did not answer")),
        ("HTTP/1.1 200 OK\r\nx-stage: shadow\r\nendless: body\r\n\r\n".to_owned(), None),
        (RIGHT.to_owned(), None),
    ] {
        let start = answer.chars().take(60).collect::<String>();
        let (url, _asked) = server(move || answer.clone()).await;
        let result = question(&url, "/").unwrap().ask().await.map_err(|unproved| unproved.to_string());
        match told {
            None => assert_eq!(result, Ok(()), "{start}"),
            Some(told) => assert!(result.as_ref().is_err_and(|error| error.contains(told)), "{start}: {result:?}"),
        }
    }
}

#[tokio::test]
async fn a_target_that_stays_silent_has_not_answered() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let result = question(&url, "/").unwrap().ask().await;
    assert!(matches!(result, Err(Unproved::NoAnswer { .. })), "{result:?}");
}

#[test]
fn a_handshake_that_cannot_be_asked_is_refused() {
    let target = "http://127.0.0.1:1/".parse().unwrap();
    let refused = question(&target, "healthz").map(drop).unwrap_err().to_string();
    assert!(refused.contains("`healthz` does not begin with /"), "{refused}");
}

#[tokio::test]
async fn the_gate_follows_the_answers_and_nothing_is_asked_while_it_is_shut_by_others() {
    let (shadow, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (url, _asked) = server({
        let (shadow, answers) = (shadow.clone(), answers.clone());
        move || {
            answers.fetch_add(1, Ordering::SeqCst);
            if shadow.load(Ordering::SeqCst) { RIGHT.to_owned() } else { WRONG.to_owned() }
        }
    })
    .await;
    let gate = Arc::new(Gate::new());
    gate.shut(Cause::Target);
    gate.release(Cause::Starting);
    gate.release(Cause::Lease);
    let ledger = ledger();
    let questions = [question(&url, "/").unwrap()];
    let (changes, mut changed) = mpsc::unbounded_channel();
    let launch = "v2".parse().unwrap();
    let story = async {
        changed.recv().await.unwrap();
        assert!(!gate.is_open(), "the answer is wrong");
        shadow.store(true, Ordering::SeqCst);
        gate.opened().await;
        changed.recv().await.unwrap();
        shadow.store(false, Ordering::SeqCst);
        gate.shutting().await;
        changed.recv().await.unwrap();
        assert!(ledger.counters().get("handshake_failed").is_some_and(|failed| *failed >= 2));
        shadow.store(true, Ordering::SeqCst);
        gate.opened().await;
        changed.recv().await.unwrap();

        // Paused: silent, and the question comes before the gate opens again.
        gate.shut(Cause::Control);
        while !gate.is_shut_by(Cause::Target) {
            tokio::task::yield_now().await;
        }
        let before = answers.load(Ordering::SeqCst);
        shadow.store(false, Ordering::SeqCst);
        tokio::time::timeout(AGAIN + RETRY, changed.recv()).await.unwrap_err();
        assert_eq!(answers.load(Ordering::SeqCst), before);
        gate.release(Cause::Control);
        changed.recv().await.unwrap();
        assert!(answers.load(Ordering::SeqCst) > before && !gate.is_open());
    };
    tokio::select! {
        () = keep(&questions, &gate, &ledger, &launch, || changes.send(()).unwrap_or(())) => unreachable!("it never ends"),
        () = story => {}
    }
}

#[tokio::test]
async fn a_target_that_falls_silent_gets_nothing_more_and_a_wrong_one_is_cancelled() {
    let answers = Arc::new(std::sync::Mutex::new(RIGHT));
    let (url, _asked) = server({
        let answers = answers.clone();
        move || answers.lock().unwrap().to_string()
    })
    .await;
    let gate = Gate::new();
    gate.shut(Cause::Target);
    gate.release(Cause::Starting);
    gate.release(Cause::Lease);
    let (ledger, questions, launch) = (ledger(), [question(&url, "/").unwrap()], "v2".parse().unwrap());
    let story = async {
        gate.opened().await;
        let cancelled = gate.cancelling();
        tokio::pin!(cancelled);
        *answers.lock().unwrap() = "";
        tokio::select! {
            biased;
            () = &mut cancelled => panic!("silence cancels nothing"),
            () = gate.shutting() => {}
        }
        *answers.lock().unwrap() = RIGHT;
        gate.opened().await;
        *answers.lock().unwrap() = WRONG;
        cancelled.await;
    };
    tokio::select! {
        () = keep(&questions, &gate, &ledger, &launch, || {}) => unreachable!("it never ends"),
        () = story => {}
    }
}
