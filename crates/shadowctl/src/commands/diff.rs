//! `shadowctl diff`: the comparison of the comparator, offline, on two answers in files. For writing and reviewing rules.

mod read;
mod render;
pub(super) mod rules;

use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;
use shadow_diff::{CompareResult, Comparison, Difference, Measured, Rules, compare};
use shadow_record::{Response, Route, Timestamp};

use crate::failure::Failure;
use crate::output::Output;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Compares as the comparator does: two bodies, or with --http two raw answers. One of them may be `-`, standard input.

Examples:
    shadowctl diff live.json next.json
    curl -s http://next/orders/17 | shadowctl diff --rules comparison.toml --route 'GET /orders/{id}' live.json -
    curl -si http://live/ > live.http; curl -si http://next/ > next.http; shadowctl diff --http live.http next.http

Exit codes, as those of diff(1):
    0  equal under the rules, or all differences are expected changes
    1  different
    2  trouble: wrong usage, a file or rules that cannot be read, answers that cannot be compared in full")]
pub(crate) struct DiffArgs {
    /// Comparison rules (TOML); the built-in ones when absent
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// What both files hold, when they are bodies
    #[arg(long, value_name = "TYPE", default_value = "application/json", conflicts_with = "http")]
    content_type: String,
    /// The route that the answers belong to, such as `GET /orders/{id}`: rules may hold on some only
    #[arg(long, value_name = "ROUTE", default_value = "GET /")]
    route: String,
    /// The files are whole raw answers
    #[arg(long)]
    http: bool,
    /// The primary's answer
    #[arg(value_name = "PRIMARY")]
    primary: PathBuf,
    /// The candidate's answer
    #[arg(value_name = "CANDIDATE")]
    candidate: PathBuf,
    #[command(flatten)]
    output: Output,
}

/// What the comparison came to, and by which rules.
#[derive(Serialize)]
struct Answer {
    result: CompareResult,
    differences: Vec<Difference>,
    omitted: u32,
    measured: Option<Measured>,
    route: String,
    ruleset: String,
    /// Rules that decided something here.
    rules_used: Vec<String>,
    /// Rules that decided nothing here.
    rules_unused: Vec<String>,
}

pub(crate) async fn run(args: DiffArgs) -> Result<ExitCode, Failure> {
    // Whatever goes wrong is trouble: 1 says that the answers differ, and nothing else.
    let answer = compared(&args).map_err(Failure::into_trouble)?;
    args.output.show(&answer, render::people).map_err(Failure::into_trouble)?;
    match answer.result {
        CompareResult::Matched | CompareResult::Expected => Ok(ExitCode::SUCCESS),
        CompareResult::Differing => Ok(ExitCode::FAILURE),
        CompareResult::Truncated => Err(Failure::trouble(
            "a body holds more than is compared",
            "ignore a part of it by a rule, or compare smaller answers",
        )),
        CompareResult::Incomparable => Err(Failure::trouble(
            "the bodies cannot be compared",
            "an object has two members of one name; correct it, or ignore its place by a rule",
        )),
    }
}

fn compared(args: &DiffArgs) -> Result<Answer, Failure> {
    let rules =
        args.rules.as_deref().map_or_else(|| Ok(Rules::default()), |path| rules::read(path).map(|(_, rules)| rules))?;
    Route::parse(&args.route).map_err(|error| Failure::usage(error.to_string(), ""))?;
    let (primary, candidate) = read::answers(args)?;
    Ok(Answer::of(args.route.clone(), &rules, &primary, &candidate))
}

impl Answer {
    fn of(route: String, rules: &Rules, primary: &Response, candidate: &Response) -> Self {
        let Comparison { result, differences, omitted, rules_used, measured, .. } =
            compare(&route, primary, candidate, rules, Timestamp::now());
        let (used, unused): (Vec<_>, Vec<_>) = rules.list().partition(|(index, _)| rules_used.contains(index));
        let words = |rules: Vec<(u16, String)>| rules.into_iter().map(|(_, words)| words).collect();
        Self {
            result,
            differences,
            omitted,
            measured,
            route,
            ruleset: rules.version().to_owned(),
            rules_used: words(used),
            rules_unused: words(unused),
        }
    }
}
