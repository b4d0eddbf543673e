//! The same requests to nginx directly and through the agent: an origin that nobody wrote for this test.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use crate::conversation::{Delivery, Heard, How, Stage, hear_out, say};
use crate::support::{Running, run};

const CONFIG: &str = r#"
daemon off; worker_processes 1; user root; pid nginx.pid; error_log error.log;
events { worker_connections 64; }
http {
    access_log off; keepalive_requests 4; lingering_timeout 100ms;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    server {
        listen ADDRESS; root files; client_max_body_size 64k; large_client_header_buffers 4 64k;
        add_trailer X-Trailer end always;
        location /texts/ { autoindex on; autoindex_format json; }
        location /packed/ { alias files/texts/; gzip on; gzip_min_length 1; gzip_types *; }
        location /gone { return 204; }
        location /moved { return 301 /elsewhere; }
        location /odd { add_header X-Mixed 1 always; add_header x-mixed 2 always; return 418 "teapot\n"; }
        location /kept/ { dav_methods PUT DELETE; }
    }
}
"#;

/// nginx on a socket that it inherits, so that it can be connected to from the first moment.
struct Nginx {
    address: SocketAddr,
    process: Child,
    _folder: tempfile::TempDir,
}

impl Nginx {
    /// `None` where there is no nginx; where everything must be shown, that is a failure.
    fn start() -> Option<Self> {
        let found = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"]
            .into_iter()
            .find(|path| std::fs::exists(path).unwrap());
        let Some(program) = found else {
            assert!(std::env::var_os("CI").is_none(), "no nginx; install the package `nginx-light`");
            println!("skipped: no nginx; install the package `nginx-light`");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("files/texts")).unwrap();
        std::fs::create_dir_all(at("files/kept")).unwrap();
        std::fs::write(at("files/texts/short.txt"), "short\n").unwrap();
        std::fs::write(at("files/texts/long.bin"), (0..200_000u32).map(|n| (n % 251) as u8).collect::<Vec<_>>())
            .unwrap();
        std::fs::write(at("files/kept/there.txt"), "there").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::fs::write(at("nginx.conf"), CONFIG.replace("ADDRESS", &address.to_string())).unwrap();
        let process = Command::new(program)
            .arg("-p")
            .arg(folder.path())
            .args(["-c", "nginx.conf", "-e", "error.log"])
            // The listening socket is its standard input, and this variable says so.
            .env("NGINX", "0;")
            .stdin(OwnedFd::from(listener))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Some(Self { address, process, _folder: folder })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Not killed: the master has a worker to end.
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.process),
            rustix::process::Signal::TERM,
        );
        let _ = self.process.wait();
    }
}

/// What a client hears that sends `request` and waits for the end, with the values of `Date` masked.
async fn answer(address: SocketAddr, request: &[u8], delivery: Delivery) -> Heard {
    let mut client = Stage::connect(address).await;
    say(&mut client, request, delivery).await;
    let mut heard = hear_out(&mut client).await;
    let mut rest = 0;
    while let Some(at) = heard.bytes[rest..].windows(6).position(|at| at == b"Date: ") {
        rest += at + 6;
        let date = &mut heard.bytes[rest..];
        let end = date.len().min("Thu, 01 Jan 1970 00:00:00 GMT".len());
        date[..end].fill(b'-');
    }
    heard
}

fn table() -> Vec<(&'static str, Vec<u8>)> {
    let get = |lines: &str| {
        format!("GET /texts/short.txt HTTP/1.1\r\nHost: h\r\n{lines}Connection: close\r\n\r\n").into_bytes()
    };
    let close = "Host: h\r\nConnection: close\r\n\r\n";
    let mut table: Vec<(&str, Vec<u8>)> = vec![
        ("a file", get("")),
        ("an undecoded path with dot segments", format!("GET /texts/%2e%2e/texts//short%2Etxt?x=%zz HTTP/1.1\r\n{close}").into()),
        ("an absolute target", format!("GET http://other/texts/short.txt HTTP/1.1\r\n{close}").into()),
        ("a large file", format!("GET /texts/long.bin HTTP/1.1\r\n{close}").into()),
        ("a range", get("Range: bytes=1-3\r\n")),
        ("several ranges beyond the end", get("Range: bytes=900-\r\n")),
        ("not modified", get("If-Modified-Since: Fri, 31 Dec 2100 00:00:00 GMT\r\n")),
        ("a condition that fails", get("If-Match: \"none\"\r\n")),
        ("head", format!("HEAD /texts/long.bin HTTP/1.1\r\n{close}").into()),
        ("head of a chunked answer", format!("HEAD /texts/ HTTP/1.1\r\n{close}").into()),
        ("chunked, with an undeclared trailer", format!("GET /texts/ HTTP/1.1\r\n{close}").into()),
        ("packed", format!("GET /packed/long.bin HTTP/1.1\r\nAccept-Encoding: gzip\r\n{close}").into()),
        ("no content", format!("GET /gone HTTP/1.1\r\n{close}").into()),
        ("a redirection", format!("GET /moved HTTP/1.1\r\n{close}").into()),
        ("a status without a reason, repeated names", format!("GET /odd HTTP/1.1\r\n{close}").into()),
        ("not found", format!("GET /nothing HTTP/1.1\r\n{close}").into()),
        ("no host", b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n".to_vec()),
        ("a method nginx does not know", format!("BREW /pot HTTP/1.1\r\n{close}").into()),
        ("options for the server", format!("OPTIONS * HTTP/1.1\r\n{close}").into()),
        ("HTTP/1.0", b"GET /texts/short.txt HTTP/1.0\r\n\r\n".to_vec()),
        ("HTTP/1.0, chunked otherwise", b"GET /texts/ HTTP/1.0\r\nHost: h\r\n\r\n".to_vec()),
        (
            "HTTP/1.0, kept alive",
            b"GET /gone HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /texts/short.txt HTTP/1.0\r\n\r\n".to_vec(),
        ),
        ("kept alive until nginx has enough", b"GET /texts/short.txt HTTP/1.1\r\nHost: h\r\n\r\n".repeat(4)),
        ("a body that is stored", format!("PUT /kept/there.txt HTTP/1.1\r\nContent-Length: 5\r\n{close}there").into()),
        (
            "a chunked body that is stored",
            format!("PUT /kept/there.txt HTTP/1.1\r\nTransfer-Encoding: chunked\r\n{close}2;x=y\r\nth\r\n3\r\nere\r\n0\r\nX-T: 1\r\n\r\n").into(),
        ),
        (
            "an expectation that is granted",
            format!("PUT /kept/there.txt HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n{close}there").into(),
        ),
        ("get with a body", get("Content-Length: 5\r\n").into_iter().chain(*b"there").collect()),
        ("a body that is announced too large", format!("PUT /kept/there.txt HTTP/1.1\r\nContent-Length: 99999\r\n{close}some of it").into()),
        ("an upgrade that is not granted", get("Upgrade: websocket\r\n")),
        ("a head of 60 kB", get(&format!("X-A: {}\r\n", "v".repeat(60 << 10)))),
    ];
    table.push((
        "pipelined",
        format!("GET /gone HTTP/1.1\r\nHost: h\r\n\r\nHEAD /texts/ HTTP/1.1\r\nHost: h\r\n\r\nGET /texts/ HTTP/1.1\r\n{close}").into(),
    ));
    table
}

#[test]
fn nginx_answers_with_the_same_bytes_with_and_without_the_agent() {
    run(async {
        let Some(nginx) = Nginx::start() else { return };
        let running = Running::before(nginx.address).await;
        let mut differences = Vec::new();
        for (name, request) in table() {
            let direct = answer(nginx.address, &request, Delivery::Whole).await;
            assert!(direct.bytes.starts_with(b"HTTP/1.1 ") && direct.how == How::Closed, "{name}: {direct:?}");
            for delivery in [Delivery::Whole, Delivery::ByteByByte] {
                let through = answer(running.address(), &request, delivery).await;
                if through != direct {
                    differences.push(format!("{name}, {delivery:?}\n  direct:  {direct:?}\n  through: {through:?}"));
                }
            }
        }
        assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
        running.stop().await;
    });
}
