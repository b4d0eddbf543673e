//! Requests that two readers could take for different ones: refused, the connection closed, and the primary never bothered.
//!
//! A smuggled request could only reach the smuggler's own connection to the primary; it is refused all the same.

use capture_agent::Exclusion;

use crate::conversation::{Delivery, Heard, How, Stage, hear_out, say, talk};
use crate::support::{Running, run};

/// What would be smuggled behind an ambiguous message.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";

/// (name, statuses that say so, header lines of a POST as they stand between `Host` and the empty line, what follows)
type Case = (&'static str, &'static [u16], &'static [u8], &'static [u8]);

/// The framing is ambiguous or no framing at all.
const BAD: &[u16] = &[400];
/// A coding the agent does not know. RFC 9112 section 6.1 asks for 501; among other faults 400 is as good.
const UNKNOWN: &[u16] = &[400, 501];

const CHUNKS: &[u8] = b"0\r\n\r\n";

const LENGTHS: &[Case] = &[
    ("length, then chunked", BAD, b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", CHUNKS),
    ("chunked, then length", BAD, b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", CHUNKS),
    ("length of zero beside chunked", BAD, b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", CHUNKS),
    ("length beside a coding nobody knows", BAD, b"Content-Length: 5\r\nTransfer-Encoding: xchunked\r\n", CHUNKS),
    ("two lengths", BAD, b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello!"),
    ("two equal lengths", BAD, b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"),
    ("two lengths in different casing", BAD, b"Content-Length: 5\r\nX-A: b\r\ncontent-length: 0\r\n", b"hello"),
    ("a list of lengths", BAD, b"Content-Length: 5, 5\r\n", b"hello"),
    ("an empty length", BAD, b"Content-Length:\r\n", b""),
    ("a length with plus", BAD, b"Content-Length: +5\r\n", b"hello"),
    ("a length with minus", BAD, b"Content-Length: -5\r\n", b"hello"),
    ("a negative zero", BAD, b"Content-Length: -0\r\n", b""),
    ("a hexadecimal length", BAD, b"Content-Length: 0x5\r\n", b"hello"),
    ("a length with a fraction", BAD, b"Content-Length: 5.0\r\n", b"hello"),
    ("a length with an exponent", BAD, b"Content-Length: 1e1\r\n", b"hello"),
    ("a length with an underscore", BAD, b"Content-Length: 1_0\r\n", b"helloworld"),
    ("a length of two words", BAD, b"Content-Length: 5 5\r\n", b"hello"),
    ("a length with a semicolon", BAD, b"Content-Length: 5;\r\n", b"hello"),
    ("a quoted length", BAD, b"Content-Length: \"5\"\r\n", b"hello"),
    ("a length with a vertical tab", BAD, b"Content-Length: \x0b5\r\n", b"hello"),
    ("a length with eight bits", BAD, b"Content-Length: 5\xa0\r\n", b"hello"),
    ("a length beyond 64 bits", BAD, b"Content-Length: 18446744073709551621\r\n", b"hello"),
    ("a space before the colon of a length", BAD, b"Content-Length : 5\r\n", b"hello"),
];

const CODINGS: &[Case] = &[
    ("xchunked", UNKNOWN, b"Transfer-Encoding: xchunked\r\n", CHUNKS),
    ("identity", UNKNOWN, b"Transfer-Encoding: identity\r\n", b""),
    ("gzip", UNKNOWN, b"Transfer-Encoding: gzip\r\n", b"\x1f\x8b"),
    ("gzip, chunked", UNKNOWN, b"Transfer-Encoding: gzip, chunked\r\n", CHUNKS),
    ("chunked, identity", UNKNOWN, b"Transfer-Encoding: chunked, identity\r\n", CHUNKS),
    ("chunked twice in a list", UNKNOWN, b"Transfer-Encoding: chunked, chunked\r\n", CHUNKS),
    ("a list with an empty place", UNKNOWN, b"Transfer-Encoding: , chunked\r\n", CHUNKS),
    ("a list that ends in a comma", UNKNOWN, b"Transfer-Encoding: chunked,\r\n", CHUNKS),
    ("two lines", UNKNOWN, b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", CHUNKS),
    ("two lines, one for each reader", UNKNOWN, b"Transfer-Encoding: chunked\r\nTransfer-encoding: x\r\n", CHUNKS),
    ("two lines, the other way round", UNKNOWN, b"Transfer-Encoding: x\r\nTransfer-encoding: chunked\r\n", CHUNKS),
    ("an empty coding", UNKNOWN, b"Transfer-Encoding:\r\n", CHUNKS),
    ("a quoted coding", UNKNOWN, b"Transfer-Encoding: \"chunked\"\r\n", CHUNKS),
    ("a coding with a parameter", UNKNOWN, b"Transfer-Encoding: chunked;q=1\r\n", CHUNKS),
    ("a coding of eight bits", UNKNOWN, b"Transfer-Encoding: chunke\xe4\r\n", CHUNKS),
    ("a coding behind a no-break space", UNKNOWN, b"Transfer-Encoding: \xa0chunked\r\n", CHUNKS),
    ("a vertical tab before the coding", BAD, b"Transfer-Encoding: \x0bchunked\r\n", CHUNKS),
    ("a vertical tab behind the coding", BAD, b"Transfer-Encoding: chunked\x0b\r\n", CHUNKS),
    ("a form feed behind the coding", BAD, b"Transfer-Encoding: chunked\x0c\r\n", CHUNKS),
    ("a NUL behind the coding", BAD, b"Transfer-Encoding: chunked\0\r\n", CHUNKS),
    ("a space before the colon", BAD, b"Transfer-Encoding : chunked\r\n", CHUNKS),
    ("a tab before the colon", BAD, b"Transfer-Encoding\t: chunked\r\n", CHUNKS),
    ("a space before the name", BAD, b"X-A: b\r\n Transfer-Encoding: chunked\r\n", CHUNKS),
    ("a coding on a folded line", BAD, b"Transfer-Encoding:\r\n chunked\r\n", CHUNKS),
    ("a coding that goes on on a folded line", BAD, b"Transfer-Encoding: chunked\r\n , identity\r\n", CHUNKS),
    ("a coding behind a bare line feed", BAD, b"X-A: b\nTransfer-Encoding: chunked\r\n", CHUNKS),
    ("a coding behind a bare carriage return", BAD, b"X-A: b\rTransfer-Encoding: chunked\r\n", CHUNKS),
    ("a name in eight bits", BAD, b"Transfer\xadEncoding: chunked\r\n", CHUNKS),
    ("a line without a colon", BAD, b"Transfer-Encoding chunked\r\n", CHUNKS),
];

/// Whole heads.
const HEADS: &[(&str, &[u8])] = &[
    ("line feeds alone", b"GET / HTTP/1.1\nHost: h\n\n"),
    ("a line feed alone behind the request line", b"GET / HTTP/1.1\nHost: h\r\n\r\n"),
    ("a line feed alone behind a header line", b"GET / HTTP/1.1\r\nHost: h\nX-A: b\r\n\r\n"),
    ("a line feed alone at the end", b"GET / HTTP/1.1\r\nHost: h\r\n\n"),
    ("a line feed alone before the request", b"\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"),
    ("a carriage return alone in a value", b"GET / HTTP/1.1\r\nHost: h\r\nX-A: b\rc\r\n\r\n"),
    ("a carriage return alone in the target", b"GET /a\rb HTTP/1.1\r\nHost: h\r\n\r\n"),
    ("carriage returns alone", b"GET / HTTP/1.1\rHost: h\r\r"),
    ("two carriage returns", b"GET / HTTP/1.1\r\r\nHost: h\r\n\r\n"),
    ("a NUL in a value", b"GET / HTTP/1.1\r\nHost: h\r\nX-A: b\0c\r\n\r\n"),
    ("a NUL in a name", b"GET / HTTP/1.1\r\nHost: h\r\nX\0A: b\r\n\r\n"),
    ("a NUL in the target", b"GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n"),
    ("a folded value", b"GET / HTTP/1.1\r\nHost: h\r\nX-A: b\r\n c\r\n\r\n"),
    ("a value folded by a tab", b"GET / HTTP/1.1\r\nHost: h\r\nX-A: b\r\n\tc\r\n\r\n"),
    ("a fold behind the request line", b"GET / HTTP/1.1\r\n X-A: b\r\nHost: h\r\n\r\n"),
    ("no name", b"GET / HTTP/1.1\r\nHost: h\r\n: b\r\n\r\n"),
    ("no method", b" / HTTP/1.1\r\nHost: h\r\n\r\n"),
    ("no target", b"GET  HTTP/1.1\r\nHost: h\r\n\r\n"),
    ("no version", b"GET /\r\nHost: h\r\n\r\n"),
    ("a version of tomorrow", b"GET / HTTP/3.0\r\nHost: h\r\n\r\n"),
    ("a version in lower case", b"GET / http/1.1\r\nHost: h\r\n\r\n"),
    ("a version without its minor", b"GET / HTTP/1\r\nHost: h\r\n\r\n"),
    ("a word too many", b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n"),
    ("another protocol", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    ("chunked in HTTP/1.0", b"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
];

/// (name, what stands behind the head of a chunked request and is well formed, what is not)
const FRAMING: &[(&str, &[u8], &[u8])] = &[
    ("a size with 0x", b"", b"0x3\r\nabc\r\n0\r\n\r\n"),
    ("a size with plus", b"", b"+3\r\nabc\r\n0\r\n\r\n"),
    ("a size with minus", b"", b"-3\r\nabc\r\n0\r\n\r\n"),
    ("a size beyond 64 bits", b"", b"10000000000000003\r\nabc\r\n0\r\n\r\n"),
    ("a size of 64 bits that turns negative", b"", b"ffffffffffffffff0\r\nabc\r\n0\r\n\r\n"),
    ("a size with an underscore", b"", b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n"),
    ("a size behind a space", b"", b" 3\r\nabc\r\n0\r\n\r\n"),
    ("a size behind a tab", b"", b"\t3\r\nabc\r\n0\r\n\r\n"),
    ("two sizes", b"", b"3 3\r\nabc\r\n0\r\n\r\n"),
    ("no size", b"", b"\r\nabc\r\n0\r\n\r\n"),
    ("an extension without a size", b"", b";x=y\r\nabc\r\n0\r\n\r\n"),
    ("a size in other digits", b"", b"\xd9\xa3\r\nabc\r\n0\r\n\r\n"),
    ("a size of letters", b"", b"xyz\r\nabc\r\n0\r\n\r\n"),
    ("a line feed alone behind a size", b"", b"3\nabc\r\n0\r\n\r\n"),
    ("a carriage return alone behind a size", b"", b"3\rabc\r\n0\r\n\r\n"),
    ("a line feed alone in an extension", b"", b"3;x\nabc\r\n0\r\n\r\n"),
    ("a carriage return alone in an extension", b"", b"3;x\ry\r\nabc\r\n0\r\n\r\n"),
    ("a NUL in an extension", b"", b"3;x\0\r\nabc\r\n0\r\n\r\n"),
    ("no line end behind a chunk", b"3\r\nabc", b"0\r\n\r\n"),
    ("a line feed alone behind a chunk", b"3\r\nabc", b"\n0\r\n\r\n"),
    ("a chunk longer than its size", b"3\r\nabc", b"d\r\n0\r\n\r\n"),
    ("a line feed alone behind the last size", b"3\r\nabc\r\n", b"0\n\r\n"),
    ("a bare line feed behind a trailer", b"3\r\nabc\r\n0\r\n", b"X-A: b\n\r\n"),
    ("a carriage return alone in a trailer", b"3\r\nabc\r\n0\r\n", b"X-A: b\rc\r\n\r\n"),
    ("a NUL in a trailer", b"3\r\nabc\r\n0\r\n", b"X-A: b\0\r\n\r\n"),
    ("a folded trailer", b"3\r\nabc\r\n0\r\nX-A: b\r\n", b" c\r\n\r\n"),
    ("a trailer without a colon", b"3\r\nabc\r\n0\r\n", b"X-A\r\n\r\n"),
];

/// A running agent before a stage, and what it got wrong so far.
struct Door {
    stage: Stage,
    running: Running,
    refused: i64,
    complaints: Vec<String>,
}

impl Door {
    async fn new() -> Self {
        let stage = Stage::new().await;
        let running = Running::before(stage.address()).await;
        Self { stage, running, refused: 0, complaints: Vec::new() }
    }

    async fn knock(&mut self, bytes: &[u8]) -> Heard {
        let mut client = Stage::connect(self.running.address()).await;
        say(&mut client, bytes, Delivery::Whole).await;
        hear_out(&mut client).await
    }

    /// Sends a request that must be answered with one of `statuses` and the end of the connection, and never get further.
    async fn refuses(&mut self, name: &str, statuses: &[u16], request: &[u8]) {
        let heard = self.knock(request).await;
        self.refused += 1;
        if let Some(wrong) = not_refused(&heard, statuses) {
            self.complaints.push(format!("{name}: {wrong}"));
        }
        if self.stage.accepted().await.is_some() {
            self.complaints.push(format!("{name}: reached the primary"));
        }
    }

    /// Every refusal is in the account, unless it came behind a head that had passed.
    async fn close(self) {
        assert!(self.complaints.is_empty(), "{}:\n{}", self.complaints.len(), self.complaints.join("\n"));
        let account = self.running.stop().await;
        assert_eq!(account.excluded_for(Exclusion::Refused), self.refused, "{account:?}");
    }
}

/// What is wrong with an answer that should be a refusal.
fn not_refused(heard: &Heard, statuses: &[u16]) -> Option<String> {
    let one = statuses.iter().any(|status| heard.bytes.starts_with(format!("HTTP/1.1 {status} ").as_bytes()));
    let alone = heard.bytes.windows(9).filter(|at| at == b"HTTP/1.1 ").count() == 1;
    // What the client has sent behind the ambiguous place may still lie unread when the connection ends, which makes it a reset.
    let ended = matches!(heard.how, How::Closed | How::Reset);
    (!(one && alone && ended)).then(|| format!("not refused with {statuses:?}: {heard:?}"))
}

#[test]
fn ambiguous_framing_is_refused_and_never_reaches_the_primary() {
    run(async {
        let mut door = Door::new().await;
        for &(name, statuses, lines, rest) in LENGTHS.iter().chain(CODINGS) {
            let request = [b"POST / HTTP/1.1\r\nHost: h\r\n", lines, b"\r\n", rest, SMUGGLED.as_bytes()].concat();
            door.refuses(name, statuses, &request).await;
        }
        door.close().await;
    });
}

#[test]
fn heads_that_readers_take_apart_differently_are_refused() {
    run(async {
        let mut door = Door::new().await;
        for &(name, head) in HEADS {
            let request = [head, SMUGGLED.as_bytes()].concat();
            door.refuses(name, &[400, 501, 505], &request).await;
        }
        door.close().await;
    });
}

#[test]
fn heads_beyond_the_limits_are_refused_whether_they_end_or_not() {
    run(async {
        let mut door = Door::new().await;
        let long_value = format!("X-A: {}\r\n", "v".repeat(65 << 10));
        let long_target = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "t".repeat(65 << 10));
        let start = "GET / HTTP/1.1\r\nHost: h\r\n";
        for (name, request) in [
            ("more than 64 KiB", format!("{start}{long_value}\r\n")),
            ("more than 64 KiB, without an end", format!("{start}{long_value}")),
            ("a target of more than 64 KiB", long_target),
            ("more than 256 lines", format!("{start}{}\r\n", "A: b\r\n".repeat(257))),
        ] {
            door.refuses(name, &[431, 414], request.as_bytes()).await;
        }
        door.close().await;
    });
}

#[test]
fn malformed_chunks_go_no_further_than_their_last_good_byte() {
    run(async {
        let mut door = Door::new().await;
        for &(name, good, bad) in FRAMING {
            let head = [b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", good].concat();
            let heard = door.knock(&[&head, bad, SMUGGLED.as_bytes()].concat()).await;
            if let Some(wrong) = not_refused(&heard, &[400]) {
                door.complaints.push(format!("{name}: {wrong}"));
            }
            let Some(mut origin) = door.stage.accepted().await else { continue };
            let passed = hear_out(&mut origin).await;
            if !head.starts_with(&passed.bytes) || passed.how == How::Silence {
                door.complaints.push(format!("{name}: the primary heard {passed:?}"));
            }
        }
        door.close().await;
    });
}

#[test]
fn a_refusal_costs_the_other_clients_nothing() {
    run(async {
        let mut door = Door::new().await;
        let script = talk("before and after")
            .client("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            .origin("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        for _ in 0..2 {
            let record = door.stage.play(door.running.address(), &script, Delivery::Whole).await;
            assert_eq!(record[1].bytes, script.turns[1].1);
            door.refuses(
                "two lengths",
                &[400],
                b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
            )
            .await;
        }
        door.close().await;
    });
}
