use shadow_mask::RawBody;
use shadow_record::Withheld;

use super::*;

fn har(entries: &str) -> String {
    format!(r#"{{"log":{{"version":"1.2","pages":[{{"a":[]}}],"entries":[{entries}],"creator":{{}}}},"more":1}}"#)
}

fn one(request: &str, response: &str, more: &str) -> Result<Exchange, Unusable> {
    entry(&format!(
        r#"{{"startedDateTime":"2026-01-31T12:00:00.250+01:00","time":30,"cache":{{}},"request":{request},"response":{response}{more}}}"#
    ))
}

const GET: &str = r#"{"method":"GET","url":"https://shop.example/a?q=1","httpVersion":"h2","cookies":[],"headers":[{"name":":method","value":"GET"},{"name":"Accept","value":"*/*"}],"queryString":[],"headersSize":-1,"bodySize":0}"#;
const OK: &str = r#"{"status":200,"statusText":"","httpVersion":"h2","headers":[{"name":"content-type","value":"application/json"}],"cookies":[],"content":{"size":2,"mimeType":"application/json","text":"{}"},"redirectURL":"","headersSize":-1,"bodySize":2}"#;

fn read_all(text: &str) -> (Vec<Entry>, Result<(), ReadError>) {
    let mut entries = Vec::new();
    let ended = read(text.as_bytes(), &mut |entry| {
        entries.push(entry);
        ControlFlow::Continue(())
    });
    (entries, ended)
}

fn content(response: &str) -> (u16, RawBody) {
    let answer = one(GET, response, "").unwrap().recorded.response.unwrap();
    (answer.status, answer.body)
}

#[test]
fn an_entry_is_an_exchange_at_its_time_with_the_times_that_an_agent_would_see() {
    let timings = r#","timings":{"blocked":5,"dns":-1,"connect":-1,"ssl":-1,"send":1,"wait":10,"receive":4}"#;
    let Exchange { host, recorded } = one(GET, OK, timings).unwrap();
    assert_eq!((host.as_str(), recorded.request.query.as_deref()), ("shop.example", Some("q=1")));
    assert_eq!(words(recorded.captured_at.micros()), "2026-01-31T11:00:00Z");
    assert_eq!((recorded.first_byte.unwrap().as_millis(), recorded.total.as_millis()), (11, 15));
    assert_eq!(recorded.request.headers.len(), 1);
    assert_eq!(one(GET, OK, "").unwrap().recorded.total.as_millis(), 30);
}

fn words(micros: i64) -> String {
    crate::words::when(shadow_record::Timestamp(micros))
}

#[test]
fn broken_entries_are_told_by_index_and_the_others_are_read() {
    let good = format!(r#"{{"startedDateTime":"2026-01-31T12:00:00Z","time":1,"request":{GET},"response":{OK}}}"#);
    let late = good.replace("12:00:00Z", "12:00:00");
    let status = good.replace(r#""status":200"#, r#""status":"alice""#);
    let (entries, ended) = read_all(&har(&format!("{good},7,{{}},{late},{status},{good}")));
    assert!(ended.is_ok(), "{ended:?}");
    let broken: Vec<(usize, String)> = entries
        .into_iter()
        .filter_map(|entry| match entry.read {
            Err(Unusable::Broken(why)) => Some((entry.index, why)),
            _ => None,
        })
        .collect();
    assert_eq!(broken.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 2, 3, 4]);
    for ((_, why), part) in broken.iter().zip(["struct HarEntry", "missing field `startedDateTime`", "zone", "\"...\""])
    {
        assert!(why.contains(part) && !why.contains("alice"), "{why}");
    }
}

#[test]
fn a_file_that_is_no_har_is_told_from_one_that_breaks_off() {
    for text in ["", "[]", "{}", r#"{"log":{}}"#, r#"{"log":{"entries":1}}"#, "<html>", r#"{"log":"#] {
        assert!(matches!(read_all(text).1, Err(ReadError::NotThis(_))), "{text}");
    }
    let whole = har(&format!(r#"{{"a":1}},{GET}"#));
    let (entries, ended) = read_all(&whole[..whole.len() - 60]);
    assert_eq!(entries.len(), 1);
    assert!(matches!(ended, Err(ReadError::BrokenOff { entries: 1, .. })), "{ended:?}");
}

#[test]
fn reading_ends_when_told() {
    let mut seen = 0;
    let ended = read(har("1,2,3").as_bytes(), &mut |_| {
        seen += 1;
        ControlFlow::Break(())
    });
    assert!(ended.is_ok() && seen == 1);
}

#[test]
fn bodies_that_the_recorder_left_out_are_withheld_and_those_that_were_never_there_are_empty() {
    let answer = |status: u16, content: &str| format!(r#"{{"status":{status},"headers":[],"content":{content}}}"#);
    let (_, missing) = content(&answer(200, r#"{"size":42,"mimeType":"image/png"}"#));
    assert!(matches!(missing, RawBody::Withheld { length: 42, why: Withheld::Other, .. }));
    assert!(matches!(content(&answer(200, r#"{"mimeType":""}"#)).1, RawBody::Withheld { .. }));
    for empty in [answer(200, r#"{"size":0}"#), answer(204, "{}"), answer(304, r#"{"mimeType":"text/html"}"#)] {
        assert!(matches!(content(&empty).1, RawBody::Whole(bytes) if bytes.is_empty()), "{empty}");
    }
    let (_, binary) = content(&answer(200, r#"{"size":2,"text":"aGk=","encoding":"base64"}"#));
    assert!(matches!(binary, RawBody::Whole(bytes) if bytes == "hi"));
}

#[test]
fn what_was_posted_is_its_text_its_fields_or_withheld() {
    let posted = |data: &str| {
        let request = format!(
            r#"{{"method":"POST","url":"http://h/","bodySize":9,"cookies":[{{"name":"sid","value":"1"}}]{data}}}"#
        );
        one(&request, OK, "").unwrap().recorded.request
    };
    let text = posted(r#","postData":{"mimeType":"application/json","text":"{}"}"#);
    assert!(matches!(&text.body, RawBody::Whole(bytes) if bytes == "{}"));
    assert_eq!(
        (&text.headers["content-type"], &text.headers["cookie"]),
        (&"application/json".parse().unwrap(), &"sid=1".parse().unwrap())
    );
    let fields = r#","postData":{"mimeType":"application/x-www-form-urlencoded","params":[{"name":"a","value":"1 2"},{"name":"b"}]}"#;
    assert!(matches!(posted(fields).body, RawBody::Whole(bytes) if bytes == "a=1+2&b="));
    let files = r#","postData":{"mimeType":"multipart/form-data","params":[{"name":"a","fileName":"f"}]}"#;
    assert!(matches!(posted(files).body, RawBody::Withheld { length: 9, .. }));
    assert!(matches!(posted("").body, RawBody::Withheld { length: 9, .. }));
}

#[test]
fn what_was_never_a_request_to_the_service_is_skipped_and_what_got_no_answer_says_why() {
    let skipped = |read: Result<Exchange, Unusable>| match read {
        Err(Unusable::NotReplayable(what)) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(skipped(one(GET, OK, r#","_resourceType":"websocket""#)), "a web socket");
    assert_eq!(skipped(one(GET, &OK.replace("200", "101"), "")), "a web socket");
    assert!(skipped(one(GET, OK, r#","_fromCache":"disk""#)).contains("cache"));
    assert_eq!(skipped(one(&GET.replace("https://shop.example/a", "data:text/plain,"), OK, "")), "not HTTP");
    for (word, expected) in [
        ("net::ERR_TIMED_OUT", CaptureError::Timeout),
        ("net::ERR_CONNECTION_REFUSED", CaptureError::Connect),
        ("net::ERR_ABORTED", CaptureError::ClientAborted),
        ("net::ERR_CONNECTION_RESET", CaptureError::Reset),
        ("", CaptureError::Other),
    ] {
        let none = format!(r#"{{"status":0,"headers":[],"content":{{"size":0}},"_error":"{word}"}}"#);
        let recorded = one(GET, &none, "").unwrap().recorded;
        assert!(recorded.response.is_none() && recorded.error == Some(expected), "{word}");
    }
    assert!(matches!(one(GET, &OK.replace("200", "777"), ""), Err(Unusable::Broken(_))));
}
