//! `shadowctl launch reverse`: after a promotion the old version becomes the shadow of a new launch, so that what the new version
//! changed for users is measured the other way round, and going back stays rehearsed.

use std::path::{Path, PathBuf};

use shadow_control::{Control, Launch, LaunchStatus, Replay};
use shadow_record::LaunchName;
use url::Url;

use super::create::{isolation, put_new, read_replay, share};
use super::{StartAt, change, status_word, target};
use crate::failure::Failure;
use crate::kafka::{Kafka, launch_of};
use crate::output::Output;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The new launch has the same filters, rules, gates, limits and way of replaying. Its isolation is declared anew, because it is that of
another copy, and so is its control, which would be a second copy of the version that is live now. What the promoted launch denied may be just
where the old version is: --deny names others.

Example:
  shadowctl launch promote checkout-v2
  shadowctl launch reverse checkout-v2 --as checkout-v1-behind --candidate http://10.0.3.6:8080 \\
      --isolation 'restored copy of the database, outbound calls stubbed'")]
pub(crate) struct ReverseArgs {
    /// The promoted launch
    name: LaunchName,
    /// Name of the new launch
    #[arg(long = "as", value_name = "NEW")]
    new: LaunchName,
    /// Base URL of the old version, no longer production's
    #[arg(long, value_name = "URL", value_parser = target::parse)]
    candidate: Url,
    /// Base URL of a second copy of the version that is live now
    #[arg(long, value_name = "URL", value_parser = target::parse)]
    control: Option<Url>,
    /// Share of the captured exchanges to replay, above 0 and up to 1
    #[arg(long, default_value = "1", value_parser = share)]
    sample: f64,
    /// Where to begin: `earliest`, `latest` or a time (RFC 3339)
    #[arg(long, default_value = "latest", value_name = "WHERE")]
    from: StartAt,
    /// How the old version is kept from production's stores, in your words; without it only safe methods are replayed
    #[arg(long, value_name = "TEXT", value_parser = isolation)]
    isolation: Option<String>,
    /// Targets that are allowed, in place of those of the promoted launch; repeatable
    #[arg(long, value_name = "HOST", value_parser = target::entry)]
    allow: Vec<String>,
    /// Targets that are refused, in place of those of the promoted launch; repeatable
    #[arg(long, value_name = "HOST", value_parser = target::entry)]
    deny: Vec<String>,
    /// How to replay (TOML), in place of the promoted launch's way, such as a handshake that the old version answers
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// Create it paused
    #[arg(long)]
    paused: bool,
    /// Why, for whoever looks at it later
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(kafka: &Kafka, args: ReverseArgs) -> Result<(), Failure> {
    let (output, from) = (args.output, args.from);
    let state = kafka.control().await?;
    let launch = reversed(launch_of(&state, &args.name)?, args)?;
    let created = put_new(kafka, launch, from).await?;
    output.show(&created.launch, |_| created.to_string())
}

/// The promoted launch the other way round.
fn reversed(promoted: &Launch, args: ReverseArgs) -> Result<Launch, Failure> {
    let name = &promoted.name;
    if promoted.status != LaunchStatus::Promoted {
        return Err(Failure::negative(
            format!("launch {name} is {}: there is nothing to reverse", status_word(promoted.status)),
            format!("`shadowctl launch promote {name}` when its candidate has gone live"),
        ));
    }
    let why = args.why.unwrap_or_else(|| format!("the reverse of {name}"));
    let replay = way(promoted, args.replay.as_deref(), args.deny)?;
    let share = promoted.control.as_ref().map_or(Control::default_sample(), |control| control.sample);
    let start = std::collections::BTreeMap::new();
    Ok(Launch {
        name: args.new,
        candidate: args.candidate,
        control: args.control.map(|url| Control { url, sample: share }),
        sample: args.sample,
        isolation: args.isolation,
        allow: if args.allow.is_empty() { promoted.allow.clone() } else { args.allow },
        replay,
        start,
        status: if args.paused { LaunchStatus::Paused } else { LaunchStatus::Active },
        ramp: None,
        change: change(Some(why)),
        ..promoted.clone()
    })
}

/// The promoted launch's way of replaying, or that of the file; `deny` in place of the promoted launch's, beside the file's.
fn way(promoted: &Launch, file: Option<&Path>, deny: Vec<String>) -> Result<Replay, Failure> {
    match file {
        Some(file) => read_replay(file, deny),
        None if deny.is_empty() => Ok(promoted.replay.clone()),
        None => Ok(Replay { deny, ..promoted.replay.clone() }),
    }
}
