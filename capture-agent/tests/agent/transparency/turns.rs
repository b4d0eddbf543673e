//! Awkward order: who speaks when, what comes before the final answer, and who ends the connection.

use crate::conversation::{Conversation, talk};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const INVITED: &[u8] = b"PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";

pub(super) fn pipelined() -> Conversation {
    talk("pipelined")
        .client(
            b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\nPOST /2 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
              3;x=y\r\nabc\r\n0\r\nX-T: 1\r\n\r\nPUT /3 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n\r\n\rHEAD /4 HTTP/1.1\r\nHost: h\r\n\r\n",
        )
        .origin(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n2\r\n0\r\nX-T: 2\r\n\r\n\
              HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
        )
        .requests(4)
}

pub(super) fn interim() -> Vec<Conversation> {
    vec![
        talk("an expectation that is granted")
            .client(INVITED)
            .origin("HTTP/1.1 100 Continue\r\n\r\n")
            .client("body")
            .origin(OK)
            .client(GET)
            .origin(OK)
            .requests(2),
        talk("an expectation that is granted in other words")
            .client(INVITED)
            .origin("HTTP/1.1 100 Go ahead\r\nX-Why: because\r\n\r\n")
            .client("body")
            .origin(OK),
        talk("an expectation that is refused, and the connection closed")
            .client(INVITED)
            .origin("HTTP/1.1 417 Expectation Failed\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            .origin_closes(),
        talk("an expectation that is refused, and the body sent all the same")
            .client(INVITED)
            .origin("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")
            .client("body")
            .client(GET)
            .origin(OK)
            .requests(2),
        talk("an expectation that the origin ignores").client(INVITED).client("body").origin(OK),
        talk("an expectation that the client does not wait for").client([INVITED, b"body"].concat()).origin(OK),
        talk("an expectation nobody knows")
            .client("PUT / HTTP/1.1\r\nHost: h\r\nExpect: miracles\r\nContent-Length: 0\r\n\r\n")
            .origin(OK),
        talk("an invitation to nobody").client(GET).origin("HTTP/1.1 100 Continue\r\n\r\n").origin(OK),
        talk("early hints, twice, and the answer")
            .client(GET)
            .origin("HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n")
            .origin("HTTP/1.1 103 Early Hints\r\nLink: </b>; rel=preload\r\n\r\n")
            .origin(OK)
            .client(GET)
            .origin(OK)
            .requests(2),
        talk("interim answers to an upload")
            .client(INVITED)
            .origin("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
            .client("bo")
            .origin("HTTP/1.1 104 Upload Resumption Supported\r\n\r\n")
            .client("dy")
            .origin(OK),
    ]
}

pub(super) fn early() -> Vec<Conversation> {
    let upload: &[u8] = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\npart";
    vec![
        talk("refused before the upload ends, and closed")
            .client(upload)
            .origin("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
            .origin_closes(),
        talk("refused before the upload ends, by an origin that reads on")
            .client(upload)
            .origin("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
            .client("rest")
            .client(GET)
            .origin(OK)
            .requests(2),
        talk("an answer that goes on while the upload does")
            .client("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
            .origin("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nA\r\n")
            .client("1\r\nb\r\n")
            .origin("1\r\nB\r\n")
            .client("0\r\n\r\n")
            .origin("0\r\n\r\n")
            .client(GET)
            .origin(OK)
            .requests(2),
        talk("an upload that ends long after its answer")
            .client("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
            .origin(OK)
            .client("1\r\nb\r\n0\r\nX-T: 1\r\n\r\n")
            .client(GET)
            .origin(OK)
            .requests(2),
    ]
}

pub(super) fn endings() -> Vec<Conversation> {
    let closing = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let old = "GET / HTTP/1.0\r\n\r\n";
    let old_kept = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    vec![
        talk("closed by the client between requests").client(GET).origin(OK),
        talk("closed by the origin between requests").client(GET).origin(OK).origin_closes(),
        talk("the client asks for the end").client(closing).origin(OK).origin_closes(),
        talk("the client asks for the end, and ends it itself").client(closing).origin(OK),
        talk("the origin announces the end")
            .client(GET)
            .origin("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
            .origin_closes(),
        talk("the origin announces the end, and the client ends it")
            .client(GET)
            .origin("HTTP/1.1 200 OK\r\nconnection: CLOSE\r\nContent-Length: 2\r\n\r\nok"),
        talk("the origin says why it closes an idle connection")
            .client(GET)
            .origin(OK)
            .origin("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            .origin_closes(),
        talk("HTTP/1.0").client(old).origin("HTTP/1.0 200 OK\r\n\r\nhi").origin_closes(),
        talk("HTTP/1.0, answered in HTTP/1.1").client(old).origin(OK).origin_closes(),
        talk("HTTP/1.0 post").client("POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi").origin(OK).origin_closes(),
        talk("HTTP/1.0, kept alive")
            .client(old_kept)
            .origin("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok")
            .client(old_kept)
            .origin("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok")
            .requests(2),
        talk("HTTP/1.0, asked to be kept alive and closed").client(old_kept).origin(OK).origin_closes(),
    ]
}
