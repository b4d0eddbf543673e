//! A sink for mail: takes every message as a mail server would and sends none on.
//!
//! A message becomes a [`Call`] with the method `MAIL` and a JSON body (`from`, `to`, `subject`, `text`, `html`, `attachments`), so that
//! rules, masking and comparison treat it as any other call. Guarantees: lines, commands, recipients, message and time are bounded;
//! whoever abuses the protocol is told so and cut off; a message is answered with 250 only after it was handed over.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use mail_parser::{Address, MessageParser, MimeHeaders as _};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::accept::accept;
use crate::refused::{Refusals, Refused};
use crate::request::Call;
use crate::serve::{Answers, ServeLimits};

/// Longest command line; RFC 5321 asks for 512, authentication for more.
const LINE: u64 = 4 << 10;
/// Recipients of one message; RFC 5321 asks for 100.
const RECIPIENTS: usize = 100;
/// Commands of one connection, and mistakes before it ends.
const COMMANDS: usize = 1_000;
const MISTAKES: usize = 10;
/// Longest wait for the next line.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much of what a connection still sends after it was cut off is taken in, and for how long.
const LEFT: u64 = 4 << 20;
const LINGER: Duration = Duration::from_secs(2);
/// Longest attachment name that is told.
const NAME: usize = 200;

/// A mail server that keeps what it is given.
pub struct Sink<A> {
    answers: Arc<A>,
    /// The host that calls are recorded under, such as `mail.example.com`.
    host: String,
    limits: ServeLimits,
    refusals: Refusals,
}

/// What is known of the message being received.
#[derive(Default)]
struct Envelope {
    from: Option<String>,
    to: Vec<String>,
}

/// What to do after a line.
enum Next {
    Say(&'static str),
    Mistake(&'static str),
    Data,
    Login,
    Quit,
}

impl<A: Answers> Sink<A> {
    /// A sink whose messages are recorded as sent to `host`.
    pub fn new(answers: Arc<A>, host: String, limits: ServeLimits, refusals: Refusals) -> Arc<Self> {
        Arc::new(Self { answers, host, limits, refusals })
    }

    /// Serves a listener until `stop`.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) {
        let most = self.limits.connections;
        accept(listener, most, stop, |stream| {
            let sink = self.clone();
            async move {
                let mut stream = BufReader::new(stream);
                if let Err(error) = sink.converse(&mut stream).await {
                    sink.refusals.count(Refused::Mail);
                    tracing::debug!(%error, "mail connection ended");
                    // Whoever went away is not told.
                    drop(cut_off(&mut stream, &error).await);
                }
            }
        })
        .await;
    }

    async fn converse<S>(&self, stream: &mut BufReader<S>) -> std::io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        say(stream, "220 shadowline stub: nothing is sent on").await?;
        let mut envelope = Envelope::default();
        let mut mistakes = 0;
        for _ in 0..COMMANDS {
            let Some(line) = line(stream).await? else { return Ok(()) };
            match self.command(&line, &mut envelope) {
                Next::Say(reply) => say(stream, reply).await?,
                Next::Mistake(reply) => {
                    mistakes += 1;
                    say(stream, reply).await?;
                    if mistakes >= MISTAKES {
                        return Err(std::io::Error::other("too many mistakes"));
                    }
                }
                Next::Login => {
                    // Whatever is given is good; it is not looked at.
                    for prompt in ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"] {
                        say(stream, prompt).await?;
                        if self::line(stream).await?.is_none() {
                            return Ok(());
                        }
                    }
                    say(stream, "235 accepted").await?;
                }
                Next::Data => {
                    say(stream, "354 go on").await?;
                    let reply = match self.message(stream).await? {
                        Some(message) => self.take(std::mem::take(&mut envelope), &message).await,
                        None => "552 the message is longer than the stub takes",
                    };
                    envelope = Envelope::default();
                    say(stream, reply).await?;
                }
                Next::Quit => return say(stream, "221 bye").await,
            }
        }
        Err(std::io::Error::other("too many commands"))
    }

    fn command(&self, line: &str, envelope: &mut Envelope) -> Next {
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" => Next::Say(
                "250-shadowline stub\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-AUTH PLAIN LOGIN\r\n250 PIPELINING",
            ),
            "HELO" => Next::Say("250 shadowline stub"),
            "AUTH" => {
                let mut words = line.split_ascii_whitespace().skip(1);
                let mechanism = words.next().unwrap_or_default().to_ascii_uppercase();
                match (mechanism.as_str(), words.next()) {
                    ("PLAIN", Some(_)) => Next::Say("235 accepted"),
                    ("LOGIN", None) => Next::Login,
                    _ => Next::Mistake("504 use AUTH PLAIN with credentials, or AUTH LOGIN"),
                }
            }
            "MAIL" => match address(line, "FROM:") {
                Some(from) => {
                    *envelope = Envelope { from: Some(from), to: Vec::new() };
                    Next::Say("250 ok")
                }
                None => Next::Mistake("501 write MAIL FROM:<address>"),
            },
            "RCPT" => match address(line, "TO:") {
                _ if envelope.from.is_none() => Next::Mistake("503 MAIL comes first"),
                Some(_) if envelope.to.len() >= RECIPIENTS => Next::Mistake("452 too many recipients"),
                Some(to) if !to.is_empty() => {
                    envelope.to.push(to);
                    Next::Say("250 ok")
                }
                _ => Next::Mistake("501 write RCPT TO:<address>"),
            },
            "DATA" if envelope.to.is_empty() => Next::Mistake("503 RCPT comes first"),
            "DATA" => Next::Data,
            "RSET" => {
                *envelope = Envelope::default();
                Next::Say("250 ok")
            }
            "NOOP" => Next::Say("250 ok"),
            "VRFY" => Next::Say("252 cannot say"),
            "QUIT" => Next::Quit,
            _ => Next::Mistake("502 not a command of this server"),
        }
    }

    /// Reads up to the lone dot. `None` for a message beyond the limit, which is read to its end all the same.
    async fn message<S: AsyncRead + Unpin>(&self, stream: &mut BufReader<S>) -> std::io::Result<Option<Vec<u8>>> {
        let (mut message, mut too_long) = (Vec::new(), 0usize);
        let most = self.limits.body;
        loop {
            let mut line = Vec::new();
            let limit = (most as u64).max(LINE);
            let read = timeout(PATIENCE, (&mut *stream).take(limit).read_until(b'\n', &mut line)).await?;
            if read? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let text = line.strip_suffix(b"\n").map(|line| line.strip_suffix(b"\r").unwrap_or(line));
            if text == Some(b".") {
                return Ok((too_long == 0).then_some(message));
            }
            // A dot at the start of a line is doubled on the way.
            let line = if line.starts_with(b"..") { &line[1..] } else { &line[..] };
            if too_long > 0 || message.len() + line.len() > most {
                too_long += line.len();
                message.clear();
                if too_long > most.saturating_mul(16) {
                    return Err(std::io::Error::other("a message without an end"));
                }
            } else {
                message.extend_from_slice(line);
            }
        }
    }

    /// Hands a message over.
    async fn take(&self, envelope: Envelope, message: &[u8]) -> &'static str {
        let body = Bytes::from(describe(&envelope, message).to_string());
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let mut headers = headers;
        for name in ["shadowline-replay", "baggage", "traceparent", "tracestate"] {
            let parsed = MessageParser::default().parse_headers(message);
            let value = parsed.as_ref().and_then(|parsed| parsed.header(name)?.as_text());
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
                headers.insert(name, value);
            }
        }
        let call = Call {
            method: "MAIL".to_owned(),
            scheme: "smtp",
            host: self.host.clone(),
            port: 25,
            path: "/".to_owned(),
            query: None,
            headers,
            body,
        };
        let answer = self.answers.answer(call).await;
        tokio::time::sleep(answer.delay).await;
        match answer.status.as_u16() {
            // 501: no rule speaks of it; mail needs none.
            200..=399 | 501 => "250 kept",
            400..=499 => "550 refused by a rule",
            _ => "451 refused by a rule for now",
        }
    }
}

/// A message as rules, masking and comparison see it.
fn describe(envelope: &Envelope, message: &[u8]) -> serde_json::Value {
    let parsed = MessageParser::default().parse(message);
    let parsed = parsed.as_ref();
    let attachments: Vec<_> = parsed
        .map(|message| {
            let of = |part: &mail_parser::MessagePart<'_>| {
                let name: String = part.attachment_name().unwrap_or_default().chars().take(NAME).collect();
                serde_json::json!({ "name": name, "bytes": part.contents().len() })
            };
            message.attachments().map(of).collect()
        })
        .unwrap_or_default();
    serde_json::json!({
        "from": envelope.from,
        "to": envelope.to,
        "sender": parsed.and_then(|message| first(message.from()?)),
        "subject": parsed.and_then(|message| message.subject()),
        "text": parsed.and_then(|message| message.body_text(0)),
        "html": parsed.filter(|message| message.html_body_count() > 0).and_then(|message| message.body_html(0)),
        "attachments": attachments,
    })
}

fn first(addresses: &Address<'_>) -> Option<String> {
    addresses.first()?.address().map(str::to_owned)
}

/// The address of `MAIL FROM:<a@b> SIZE=1`; empty for the null sender.
fn address(line: &str, keyword: &str) -> Option<String> {
    let at = line.to_ascii_uppercase().find(keyword)?;
    let rest = line.get(at + keyword.len()..)?.trim_start();
    let (address, _) = rest.strip_prefix('<')?.split_once('>')?;
    Some(address.to_owned())
}

/// Tells why the connection ends, and takes in what is on its way: a connection closed over it would be reset, and the reply lost.
async fn cut_off<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    why: &std::io::Error,
) -> std::io::Result<()> {
    match why.kind() {
        std::io::ErrorKind::Other => say(stream, &format!("421 {why}")).await?,
        std::io::ErrorKind::TimedOut => say(stream, "421 nothing came for a minute").await?,
        _ => return Ok(()),
    }
    stream.get_mut().shutdown().await?;
    let mut rest = stream.take(LEFT);
    timeout(LINGER, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await??;
    Ok(())
}

async fn line<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    let read = timeout(PATIENCE, (&mut *stream).take(LINE).read_until(b'\n', &mut line)).await?;
    if read? == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        return Err(std::io::Error::other("a line without an end"));
    }
    Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()))
}

async fn say<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufReader<S>, reply: &str) -> std::io::Result<()> {
    let stream = stream.get_mut();
    timeout(PATIENCE, async {
        stream.write_all(reply.as_bytes()).await?;
        stream.write_all(b"\r\n").await?;
        stream.flush().await
    })
    .await?
}
