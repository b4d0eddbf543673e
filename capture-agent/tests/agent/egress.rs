//! The primary's own calls: they reach whom they are for as they are, whatever becomes of their records.

use std::net::SocketAddr;
use std::sync::Arc;

use capture_agent::{DropReason, Exclusion};
use shadow_control::{Leg, MARK_HEADER, Mark, to_baggage};
use shadow_mask::{MaskKey, Masker, Ruleset};
use shadow_record::{RequestId, RouteTable};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::support::{Running, config, nobody, run};
use crate::wire::{Message, Origin, ask, closed, read_message, send};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An agent that takes the calls of a primary which nobody asks.
pub(crate) async fn egress(settings: &[&str]) -> (Running, SocketAddr) {
    let settings = [&["egress.listen = \"127.0.0.1:0\""], settings].concat();
    let running = Running::with(config(nobody(), &settings)).await;
    let address = running.agent.egress_address().expect("it is on");
    (running, address)
}

/// One of the agent's metrics.
pub(crate) async fn metric(running: &Running, name: &str) -> Option<i64> {
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let text = String::from_utf8(ask(running.agent.admin_address(), request).await.body).unwrap();
    text.lines().find_map(|line| line.strip_prefix(&format!("shadow_{name} "))?.parse().ok())
}

fn get(partner: SocketAddr, path: &str) -> String {
    format!("GET http://{partner}{path} HTTP/1.1\r\nHost: {partner}\r\n\r\n")
}

#[test]
fn a_call_reaches_its_destination_as_it_is_and_so_does_the_answer() {
    run(async {
        let answer = b"HTTP/1.1 207 Odd\r\nX-Odd: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let (partner, asked) = Origin::canned(answer).await;
        let (running, proxy) = egress(&[]).await;
        let to = partner.address;
        let call = format!(
            "PATCH http://{to}/v1/%7Ea//b?x=1&y HTTP/1.1\r\nhost: elsewhere\r\nX-oDD: 1\r\nx-twice: a\r\nx-twice: b\r\nAuthorization: Bearer t\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
        );
        let got = ask(proxy, call.as_bytes()).await;
        assert_eq!((got.start.as_str(), got.body.as_slice()), ("HTTP/1.1 207 Odd", &b"abc"[..]));
        assert_eq!(got.lines[..3], ["X-Odd: 1", "Set-Cookie: a=1", "Set-Cookie: b=2"]);
        assert_eq!(got.lines.len(), 4, "nothing is added: {:?}", got.lines);
        let Message { start, lines, body } = asked.lock().unwrap().remove(0);
        assert_eq!((start.as_str(), body.as_slice()), ("PATCH /v1/%7Ea//b?x=1&y HTTP/1.1", &b"hello"[..]));
        let host = format!("host: {to}");
        let expected = [host.as_str(), "X-oDD: 1", "x-twice: a", "x-twice: b", "Authorization: Bearer t"];
        assert_eq!(lines[..5], expected, "what is the proxy's own is gone");
        assert_eq!(lines.len(), 6, "nothing but the framing is added: {lines:?}");
        running.stop().await;
    });
}

#[test]
fn a_base_url_stands_for_a_destination_and_a_connection_is_kept_for_the_next_call() {
    run(async {
        let partner = Origin::spawn(|number, mut stream| async move {
            while let Some(call) = read_message(&mut stream, false).await {
                let text = format!("{number} {}", call.start);
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        })
        .await;
        let alias = format!(
            "egress.aliases = [{{ path = \"/pay\", to = \"http://{0}/v1/\" }}, {{ host = \"mail.internal\", to = \"http://{0}\" }}]",
            partner.address
        );
        let (running, proxy) = egress(&[&alias]).await;
        let mut client = send(proxy, b"GET /pay/charges?limit=1 HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let mut answers = Vec::new();
        for next in ["/pay", "/send"] {
            answers.push(read_message(&mut client, false).await.unwrap().body);
            let call = format!("GET {next} HTTP/1.1\r\nHost: MAIL.internal:8090\r\n\r\n");
            client.write_all(call.as_bytes()).await.unwrap();
        }
        answers.push(read_message(&mut client, false).await.unwrap().body);
        let answers: Vec<_> = answers.iter().map(|body| String::from_utf8_lossy(body)).collect();
        assert_eq!(answers, ["0 GET /v1/charges?limit=1 HTTP/1.1", "0 GET /v1 HTTP/1.1", "0 GET /send HTTP/1.1"]);
        drop(client);
        running.stop().await;
    });
}

#[test]
fn bodies_stream_both_ways_while_they_are_being_sent() {
    run(async {
        let partner = Origin::spawn(|_, mut stream| async move {
            let mut got = Vec::new();
            while !got.ends_with(b"one\r\n") {
                got.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\neins\r\n").await.unwrap();
            while !got.ends_with(b"0\r\n\r\n") {
                got.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(b"4\r\nzwei\r\n0\r\n\r\n").await.unwrap();
        })
        .await;
        let (running, proxy) = egress(&[]).await;
        let to = partner.address;
        let head = format!("POST http://{to}/ HTTP/1.1\r\nHost: {to}\r\nTransfer-Encoding: chunked\r\n\r\n");
        let mut client = send(proxy, format!("{head}3\r\none\r\n").as_bytes()).await;
        // Each end sends the rest only when it has what the other sent first.
        let mut got = Vec::new();
        while !got.ends_with(b"eins\r\n") {
            got.push(client.read_u8().await.unwrap());
        }
        client.write_all(b"0\r\n\r\n").await.unwrap();
        while !got.ends_with(b"zwei\r\n0\r\n\r\n") {
            got.push(client.read_u8().await.unwrap());
        }
        drop(client);
        running.stop().await;
    });
}

#[test]
fn without_kafka_calls_pass_and_a_full_queue_is_a_counted_drop() {
    run(async {
        let (partner, _) = Origin::canned(OK).await;
        let (running, proxy) = egress(&["capture.queue = 3"]).await;
        for number in 0..10 {
            assert_eq!(ask(proxy, get(partner.address, &format!("/{number}")).as_bytes()).await.body, b"ok");
        }
        let calls = running.agent.calls().unwrap();
        assert_eq!((calls.seen, calls.dropped_for(DropReason::QueueFull)), (10, 7));
        assert_eq!(metric(&running, "effects_dropped_total{reason=\"queue_full\"}").await, Some(7));
        assert_eq!(metric(&running, "effects_told_total{by=\"none\"}").await, Some(10));
        assert_eq!(running.stop().await.seen, 0, "they are no requests");
    });
}

#[test]
fn a_paused_agent_forwards_calls_and_records_none() {
    run(async {
        let (partner, _) = Origin::canned(OK).await;
        let (running, proxy) = egress(&[]).await;
        let pause = b"POST /pause HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
        assert!(ask(running.agent.admin_address(), pause).await.start.contains(" 200 "));
        assert_eq!(ask(proxy, get(partner.address, "/").as_bytes()).await.body, b"ok");
        assert_eq!(running.agent.calls().unwrap().excluded_for(Exclusion::Paused), 1);
        running.stop().await;
    });
}

#[test]
fn a_call_that_bears_the_shadows_mark_reaches_nobody_and_a_forged_one_stops_no_call() {
    run(async {
        let (partner, asked) = Origin::canned(OK).await;
        let (running, proxy) = egress(&[]).await;
        let masker = Masker::new(MaskKey::parse(&"5".repeat(64)).unwrap(), Ruleset::default(), RouteTable::default());
        let (launch, request_id) = ("v2".parse().unwrap(), RequestId::generate());
        let mark = Mark { launch, request_id, attempt: 1, leg: Leg::Candidate, send: 3 };
        let signed = mark.sign(|body| masker.mark_tag(body));
        let forged = mark.sign(|_| [0; 16]);
        let to = partner.address;
        let rings = [(format!("{MARK_HEADER}: {signed}"), 1), (format!("baggage: a=b, {}", to_baggage(&signed)), 2)];
        for (line, rung) in rings {
            let call =
                format!("POST http://{to}/charge HTTP/1.1\r\nHost: {to}\r\n{line}\r\nContent-Length: 2\r\n\r\n{{}}");
            let answer = ask(proxy, call.as_bytes()).await;
            assert!(answer.start.starts_with("HTTP/1.1 403"), "{line}: {answer:?}");
            assert!(String::from_utf8_lossy(&answer.body).contains("not forwarded"));
            assert_eq!(metric(&running, "capture_replayed_requests_total").await, Some(rung), "{line}");
        }
        let tunnel = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{MARK_HEADER}: {signed}\r\n\r\n");
        assert!(ask(proxy, tunnel.as_bytes()).await.start.starts_with("HTTP/1.1 403"));
        assert!(asked.lock().unwrap().is_empty(), "nothing got out");
        assert_eq!(running.agent.calls().unwrap().excluded_for(Exclusion::Replayed), 3);
        assert_eq!(metric(&running, "egress_refused_total{reason=\"marked\"}").await, Some(3));
        let forged = [
            format!("{MARK_HEADER}: {forged}"),
            format!("{MARK_HEADER}: \u{fc}"),
            format!("baggage: {}", to_baggage("anything")),
        ];
        for line in forged {
            let call = format!("GET http://{to}/ HTTP/1.1\r\nHost: {to}\r\n{line}\r\n\r\n");
            assert_eq!(ask(proxy, call.as_bytes()).await.body, b"ok", "{line}");
        }
        assert_eq!(metric(&running, "capture_replayed_requests_total").await, Some(3));
        running.stop().await;
    });
}

#[test]
fn who_is_not_allowed_is_let_go_unread() {
    run(async {
        let (partner, asked) = Origin::canned(OK).await;
        let (running, proxy) = egress(&["egress.allow = [\"192.0.2.0/24\", \"2001:db8::/32\"]"]).await;
        let mut client = TcpStream::connect(proxy).await.unwrap();
        let answer = read_message(&mut client, false).await;
        assert!(answer.is_some_and(|answer| answer.start.starts_with("HTTP/1.1 403")));
        assert!(closed(&mut client).await);
        drop(client.write_all(get(partner.address, "/").as_bytes()).await);
        assert!(asked.lock().unwrap().is_empty());
        assert_eq!(metric(&running, "egress_refused_total{reason=\"client\"}").await, Some(1));
        running.stop().await;
    });
}

#[test]
fn no_call_reaches_the_admin_endpoint() {
    run(async {
        let (running, proxy) = egress(&[]).await;
        let admin = running.agent.admin_address();
        let pause = format!("POST http://{admin}/pause HTTP/1.1\r\nHost: {admin}\r\nContent-Length: 0\r\n\r\n");
        let tunnel = format!("CONNECT {admin} HTTP/1.1\r\nHost: {admin}\r\n\r\n");
        for call in [pause, tunnel] {
            let answer = ask(proxy, call.as_bytes()).await;
            assert!(answer.start.starts_with("HTTP/1.1 502"), "{call}: {answer:?}");
        }
        assert_eq!(metric(&running, "capture_paused").await.unwrap_or(0), 0);
        running.stop().await;
    });
}

#[test]
fn a_connection_that_says_nothing_loses_its_place() {
    run(async {
        let (partner, _) = Origin::canned(OK).await;
        let (running, proxy) = egress(&["egress.idle = \"300ms\"", "egress.connections = 1"]).await;
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        for said in [&b""[..], b"PRI", b"GET ", preface] {
            let _silent = send(proxy, said).await;
            // It gets the only place when that is free again.
            assert_eq!(ask(proxy, get(partner.address, "/").as_bytes()).await.body, b"ok", "{said:?}");
        }
        running.stop().await;
    });
}

#[test]
fn what_names_nobody_goes_nowhere_and_is_told_why() {
    run(async {
        let (running, proxy) = egress(&["egress.aliases = [{ path = \"/pay\", to = \"http://192.0.2.1\" }]"]).await;
        for (call, status, why) in [
            ("GET /elsewhere HTTP/1.1\r\nHost: api.example\r\n\r\n".to_owned(), 400, "egress.aliases"),
            ("GET /payments HTTP/1.1\r\nHost: api.example\r\n\r\n".to_owned(), 400, "egress.aliases"),
            ("GET ftp://api.example/x HTTP/1.1\r\nHost: api.example\r\n\r\n".to_owned(), 400, "absolute URL"),
            ("CONNECT api.example HTTP/1.1\r\nHost: api.example\r\n\r\n".to_owned(), 400, "host:port"),
            (format!("GET http://{proxy}/x HTTP/1.1\r\nHost: {proxy}\r\n\r\n"), 502, "this proxy itself"),
            (format!("CONNECT {proxy} HTTP/1.1\r\nHost: {proxy}\r\n\r\n"), 502, "this proxy itself"),
            (format!("GET http://{0}/x HTTP/1.1\r\nHost: {0}\r\n\r\n", nobody()), 502, "no answer"),
            ("GET http://does-not-exist.invalid/x HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 502, "no answer"),
        ] {
            let answer = ask(proxy, call.as_bytes()).await;
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            assert!(answer.start.starts_with(&format!("HTTP/1.1 {status}")), "{call}: {answer:?} {text}");
            assert!(text.starts_with("shadowline: ") && text.contains(why), "{call}: {text}");
        }
        let calls = running.agent.calls().unwrap();
        assert_eq!((calls.seen, calls.excluded_for(Exclusion::Refused)), (8, 4), "{calls:?}");
        running.stop().await;
    });
}

#[test]
fn what_is_not_http_is_turned_down_and_harms_nobody() {
    run(async {
        let (partner, _) = Origin::canned(OK).await;
        let (running, proxy) = egress(&[]).await;
        let huge =
            format!("GET http://{0}/ HTTP/1.1\r\nHost: {0}\r\nX: {1}\r\n\r\n", partner.address, "x".repeat(300 << 10));
        for garbage in [&b"\x16\x03\x01\x02\x00\x01\x00"[..], b"GET\r\n\r\n", b"\0\0\0\0\r\n\r\n", huge.as_bytes()] {
            let mut client = TcpStream::connect(proxy).await.unwrap();
            // It may be closed before all of it is written.
            drop(client.write_all(garbage).await);
            drop(client.shutdown().await);
            let mut answer = Vec::new();
            drop(client.read_to_end(&mut answer).await);
            assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer));
        }
        assert_eq!(ask(proxy, get(partner.address, "/").as_bytes()).await.body, b"ok");
        running.stop().await;
    });
}

#[test]
fn a_destination_that_stalls_costs_its_own_caller_only() {
    run(async {
        let stalling = Origin::spawn(|_, mut stream| async move {
            read_message(&mut stream, false).await;
            std::future::pending::<()>().await;
        })
        .await;
        let (partner, _) = Origin::canned(OK).await;
        let (running, proxy) = egress(&["egress.answer = \"300ms\"", "listen.threads = 1"]).await;
        let waiting = get(stalling.address, "/");
        let asking = ask(proxy, waiting.as_bytes());
        let meanwhile = async {
            for _ in 0..5 {
                assert_eq!(ask(proxy, get(partner.address, "/").as_bytes()).await.body, b"ok");
            }
        };
        let (answer, ()) = tokio::join!(asking, meanwhile);
        assert!(answer.start.starts_with("HTTP/1.1 504"), "{answer:?}");
        running.stop().await;
    });
}

#[test]
fn a_destination_that_breaks_off_is_passed_on_as_that() {
    run(async {
        let resetting = Origin::spawn(|_, mut stream| async move {
            read_message(&mut stream, false).await;
            stream.set_zero_linger().unwrap();
        })
        .await;
        let cutting = Origin::spawn(|_, mut stream| async move {
            read_message(&mut stream, false).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await.unwrap();
        })
        .await;
        let babbling = Origin::spawn(|_, mut stream| async move {
            read_message(&mut stream, false).await;
            stream.write_all(b"this is not HTTP\r\n\r\n").await.unwrap();
        })
        .await;
        let (running, proxy) = egress(&[]).await;
        let mut client = send(proxy, get(resetting.address, "/").as_bytes()).await;
        assert!(closed(&mut client).await, "as without the agent");
        let mut client = send(proxy, get(cutting.address, "/").as_bytes()).await;
        let mut got = Vec::new();
        drop(client.read_to_end(&mut got).await);
        let got = String::from_utf8(got).unwrap();
        assert!(got.contains("Content-Length: 9") && got.ends_with("\r\n\r\nhalf"), "{got}");
        let answer = ask(proxy, get(babbling.address, "/").as_bytes()).await;
        assert!(answer.start.starts_with("HTTP/1.1 502"), "{answer:?}");
        let calls = running.agent.calls().unwrap();
        assert_eq!((calls.seen, calls.balances()), (3, true));
        running.stop().await;
    });
}

#[test]
fn a_caller_that_goes_away_takes_its_call_with_it() {
    run(async {
        let gone = Arc::new(Notify::new());
        let asked = Arc::new(Notify::new());
        let (told, heard) = (gone.clone(), asked.clone());
        let partner = Origin::spawn(move |_, mut stream| {
            let (told, heard) = (told.clone(), heard.clone());
            async move {
                read_message(&mut stream, false).await;
                heard.notify_one();
                assert!(closed(&mut stream).await);
                told.notify_one();
            }
        })
        .await;
        let (running, proxy) = egress(&[]).await;
        let client = send(proxy, get(partner.address, "/").as_bytes()).await;
        asked.notified().await;
        drop(client);
        gone.notified().await;
        running.stop().await;
    });
}

#[test]
fn as_many_connections_as_allowed_and_the_next_waits_for_one_to_end() {
    run(async {
        let (partner, _) = Origin::canned(OK).await;
        let (running, proxy) = egress(&["egress.connections = 1"]).await;
        let mut first = send(proxy, get(partner.address, "/").as_bytes()).await;
        assert_eq!(read_message(&mut first, false).await.unwrap().body, b"ok");
        assert_eq!(metric(&running, "egress_connections").await, Some(1));
        let mut second = send(proxy, get(partner.address, "/").as_bytes()).await;
        let mut waiting = Box::pin(read_message(&mut second, false));
        let first_again = async {
            first.write_all(get(partner.address, "/").as_bytes()).await.unwrap();
            read_message(&mut first, false).await.unwrap()
        };
        tokio::select! {
            biased;
            answer = &mut waiting => panic!("it was served beyond the bound: {answer:?}"),
            answer = first_again => assert_eq!(answer.body, b"ok"),
        }
        drop(first);
        assert_eq!(waiting.await.unwrap().body, b"ok");
        running.stop().await;
    });
}

#[test]
fn a_call_under_way_at_the_stop_is_finished_and_no_further_one_is_taken() {
    run(async {
        let (asked, may_answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (heard, go) = (asked.clone(), may_answer.clone());
        let partner = Origin::spawn(move |_, mut stream| {
            let (heard, go) = (heard.clone(), go.clone());
            async move {
                read_message(&mut stream, false).await;
                heard.notify_one();
                go.notified().await;
                stream.write_all(OK).await.unwrap();
            }
        })
        .await;
        let (running, proxy) = egress(&[]).await;
        let mut client = send(proxy, get(partner.address, "/").as_bytes()).await;
        asked.notified().await;
        let answered = async {
            // Nobody listens any more: the agent has begun to stop.
            while TcpStream::connect(proxy).await.is_ok() {}
            may_answer.notify_one();
            read_message(&mut client, false).await.unwrap().body
        };
        let (_, body) = tokio::join!(running.stop(), answered);
        assert_eq!(body, b"ok");
    });
}
