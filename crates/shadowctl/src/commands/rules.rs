//! `shadowctl rules`: comparison rules for what was learnt about a launch.

mod suggest;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use shadow_record::LaunchName;

use super::noise::{self, NoiseRow};
use crate::failure::Failure;
use crate::output::Output;
use crate::sql::Sql;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum RulesCommand {
    /// Print rules for the noise that a launch has seen, each with its evidence
    #[command(after_help = "\
Example:
  shadowctl rules suggest checkout-v2 > rules.toml
  shadowctl launch create checkout-v3 --service checkout --candidate http://10.0.3.7:8080 --rules rules.toml

Each rule is the narrowest that covers the examples: a rule lets less through than noise does, and needs no control. Read them
before you use them, and add the rules that the launch has already.")]
    Suggest {
        /// The launch
        launch: LaunchName,
        #[command(flatten)]
        output: Output,
    },
}

pub(crate) async fn run(sql: &Sql, command: RulesCommand) -> Result<(), Failure> {
    let RulesCommand::Suggest { launch, output } = command;
    let of = &[("launch", launch.as_str())][..];
    let (signatures, examples) = tokio::try_join!(noise::signatures(sql, &launch), sql.rows::<Examples>(EXAMPLES, of))?;
    let mut examples: HashMap<_, _> = examples.into_iter().map(|of| (of.signature, of.examples)).collect();
    let seen = signatures.into_iter().filter(|row| row.decision == "noise").map(|row| {
        let examples = examples.remove(&row.signature).unwrap_or_default();
        Seen { row, examples }
    });
    let suggested = Suggested { rules: suggest::rules(&launch, &seen.collect::<Vec<_>>()), launch: launch.to_string() };
    output.show(&suggested, |suggested| suggested.rules.clone())
}

/// The answer.
#[derive(Debug, Serialize)]
struct Suggested {
    launch: String,
    /// TOML, as `launch create --rules` takes it.
    rules: String,
}

/// One signature of noise with examples of what both sides had there: bounded excerpts of JSON text.
#[derive(Debug)]
struct Seen {
    row: NoiseRow,
    examples: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct Examples {
    signature: String,
    examples: Vec<(String, String)>,
}

/// Up to forty examples of each signature, the same ones every time.
const EXAMPLES: &str = "SELECT difference.signature AS signature, \
         arrayMap(e -> (e.2, e.3), groupArraySorted(40)((cityHash64(partition, captured_offset), difference.primary, difference.candidate))) \
         AS examples \
     FROM exchanges FINAL ARRAY JOIN differences AS difference WHERE launch = {launch:String} GROUP BY signature";
