//! `shadowctl mask`: the masking of the services, offline. For writing and reviewing rules, and for seed data.

mod csv;
pub(super) mod http;
mod rows;

use std::io::{Read as _, Write as _};

use ::http::HeaderMap;
use bytes::Bytes;
use serde::Serialize;
use shadow_mask::{Decision, MaskKey, Masker, RawBody, RawRequest, RawResponse};
use shadow_record::{Body, Header};

use super::masking::MaskingArgs;
use crate::failure::Failure;
use crate::output;
use crate::table::Table;

/// Longest message from standard input.
const MAX_INPUT: u64 = 256 << 20;

/// Under which a review without a key masks: tokens under it tell everything to whoever reads this.
const REVIEW_KEY: &str = "a key for reviews that anyone knows, so of no use for masking";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Reads standard input, writes what the services would let out to standard output.

Examples:
    shadowctl mask --rules masking.toml < order.json
    shadowctl mask --rules masking.toml --explain --http < request.txt
    psql -c '\\copy customers to stdout with (format csv, header)' | shadowctl mask --csv --key-file mask.key \\
        | psql shadow -c '\\copy customers from stdin with (format csv, header)'

The key is that of --key-file, SHADOW_MASKING_KEY or SHADOW_MASKING_KEY_FILE; without one a review uses a key that anyone knows,
and seed data is refused. The key before it is that of --previous-key-file, SHADOW_MASKING_PREVIOUS_KEY or
SHADOW_MASKING_PREVIOUS_KEY_FILE.

Exit code 1: the body cannot be masked and would leave as digest and length, or a row cannot be read.")]
pub(crate) struct MaskArgs {
    #[command(flatten)]
    masking: MaskingArgs,
    /// What the input is, when it is a body
    #[arg(long, value_name = "TYPE", default_value = "application/json", conflicts_with_all = ["http", "csv", "ndjson"])]
    content_type: String,
    /// The request that a body or an answer belongs to, such as `GET /orders/17`
    #[arg(long, value_name = "METHOD PATH", default_value = "GET /")]
    target: String,
    /// The input is a body of a request rather than of an answer
    #[arg(long, conflicts_with_all = ["http", "csv", "ndjson"])]
    request: bool,
    /// The input is a whole raw message, request or answer
    #[arg(long, conflicts_with_all = ["csv", "ndjson"])]
    http: bool,
    /// The input is a table of comma-separated values with a head line, as PostgreSQL's COPY writes it
    #[arg(long, conflicts_with = "ndjson")]
    csv: bool,
    /// Between the values of a table
    #[arg(long, value_name = "CHARACTER", default_value = ",", requires = "csv")]
    delimiter: char,
    /// Names of a table without a head line, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "csv")]
    columns: Vec<String>,
    /// The input is one JSON text a line
    #[arg(long)]
    ndjson: bool,
    /// Say on standard error what decided at each place
    #[arg(long, conflicts_with_all = ["csv", "ndjson"])]
    explain: bool,
    /// Print result and decisions as JSON for programs
    #[arg(long, conflicts_with_all = ["csv", "ndjson"])]
    json: bool,
}

/// What became of one message.
#[derive(Serialize)]
struct Answer {
    ruleset: String,
    key_id: String,
    /// The message as it would leave, without its body.
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<String>,
    /// The body as it would leave; null when it is withheld.
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    withheld: Option<String>,
    length: i64,
    digest: String,
    decisions: Vec<Explained>,
    #[serde(skip)]
    raw: Option<Bytes>,
}

#[derive(Serialize)]
struct Explained {
    place: String,
    action: &'static str,
    by: String,
}

pub(crate) async fn run(args: MaskArgs) -> Result<(), Failure> {
    let masker = masker(&args)?;
    if args.csv {
        return rows::csv(&masker, args.delimiter, &args.columns).map_err(rows::fail);
    }
    if args.ndjson {
        return rows::ndjson(&masker).map_err(rows::fail);
    }
    let answer = mask(&args, &masker, read_all()?)?;
    show(&args, &answer)?;
    match &answer.withheld {
        None => Ok(()),
        Some(why) => Err(Failure::negative(
            format!("the body cannot be masked ({why}): it would leave as its length and a keyed digest"),
            "check the content type, or see docs/masking.md for what is read",
        )),
    }
}

fn masker(args: &MaskArgs) -> Result<Masker, Failure> {
    let key = match args.masking.key()? {
        Some(key) => key,
        None if args.csv || args.ndjson => {
            return Err(Failure::usage("seed data needs the key of the services", "name its file with --key-file"));
        }
        None => {
            output::note("shadowctl: no key given, so this is masked under a key that anyone knows; do not publish it");
            MaskKey::parse(REVIEW_KEY).map_err(Failure::internal)?
        }
    };
    args.masking.masker(key)
}

fn read_all() -> Result<Bytes, Failure> {
    let mut input = Vec::new();
    std::io::stdin().lock().take(MAX_INPUT + 1).read_to_end(&mut input).map_err(Failure::internal)?;
    if input.len() as u64 > MAX_INPUT {
        return Err(Failure::usage(
            "the input is longer than 256 MiB",
            "give tables with --csv or --ndjson, which stream",
        ));
    }
    Ok(input.into())
}

fn mask(args: &MaskArgs, masker: &Masker, input: Bytes) -> Result<Answer, Failure> {
    let (method, path) = args.target.split_once(' ').ok_or_else(|| {
        Failure::usage(format!("`{}` is no method and path", args.target), "write --target as `GET /orders/17`")
    })?;
    let answer = |head, body: Body, decisions| Answer::new(masker, head, body, decisions);
    if args.http {
        return match http::parse(&input)? {
            http::Message::Request(raw) => {
                let (masked, decisions) = masker.explain_request(raw);
                let query = masked.query.as_deref().map(|query| format!("?{query}")).unwrap_or_default();
                let start = format!("{} {}{query} HTTP/1.1\r\nhost: {}", masked.method, masked.path, masked.authority);
                Ok(answer(Some(head(&start, &masked.headers)), masked.body, decisions))
            }
            http::Message::Response(raw) => {
                let (masked, decisions) = masker.explain_response(method, path, raw);
                Ok(answer(Some(head(&format!("HTTP/1.1 {}", masked.status), &masked.headers)), masked.body, decisions))
            }
        };
    }
    let mut headers = HeaderMap::new();
    let content_type = ::http::HeaderValue::from_str(&args.content_type).map_err(|_| {
        Failure::usage(format!("`{}` is no content type", args.content_type), "such as application/json")
    })?;
    headers.insert(::http::header::CONTENT_TYPE, content_type);
    let body = RawBody::Whole(input);
    if args.request {
        let raw = RawRequest {
            method: method.to_owned(),
            scheme: "http".to_owned(),
            authority: String::new(),
            path: path.to_owned(),
            query: None,
            headers,
            body,
        };
        let (masked, decisions) = masker.explain_request(raw);
        return Ok(answer(None, masked.body, decisions));
    }
    let (masked, decisions) = masker.explain_response(method, path, RawResponse { status: 200, headers, body });
    Ok(answer(None, masked.body, decisions))
}

fn head(start: &str, headers: &[Header]) -> String {
    let lines: String = headers.iter().map(|line| format!("{}: {}\r\n", line.name, line.value)).collect();
    format!("{start}\r\n{lines}\r\n")
}

impl Answer {
    fn new(masker: &Masker, head: Option<String>, body: Body, decisions: Vec<Decision>) -> Self {
        let text = |content: &Bytes| String::from_utf8_lossy(content).into_owned();
        Self {
            ruleset: masker.ruleset().version().to_owned(),
            key_id: masker.key_id().to_owned(),
            head,
            body: body.content.as_ref().map(text),
            withheld: body.withheld.map(|why| format!("{why:?}").to_lowercase()),
            length: body.length,
            digest: body.digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            decisions: decisions.into_iter().map(Explained::of).collect(),
            raw: body.content,
        }
    }
}

impl Explained {
    fn of(decision: Decision) -> Self {
        Self { by: decision.actor.to_string(), place: decision.place, action: decision.action }
    }
}

fn show(args: &MaskArgs, answer: &Answer) -> Result<(), Failure> {
    if args.json {
        return output::print(&output::json(answer));
    }
    let mut stdout = std::io::stdout().lock();
    let head = answer.head.as_deref().unwrap_or_default();
    let body = match (&answer.raw, &answer.withheld) {
        (Some(body), _) => body.to_vec(),
        (None, why) => {
            let why = why.as_deref().unwrap_or("unknown");
            format!("(withheld: {why}, {} bytes, digest {})\n", answer.length, answer.digest).into_bytes()
        }
    };
    let written =
        stdout.write_all(head.as_bytes()).and_then(|()| stdout.write_all(&body)).and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => return Err(Failure::internal(error)),
        _ => {}
    }
    if args.explain {
        let mut table = Table::new(&["place", "done", "by"]);
        for Explained { place, action, by } in &answer.decisions {
            table.row([place.clone(), (*action).to_owned(), by.clone()]);
        }
        output::note(&format!("\nruleset {}, key {}\n{}", answer.ruleset, answer.key_id, table.render()));
    }
    Ok(())
}
