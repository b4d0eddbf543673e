//! `shadowctl launch create`: everything that could refuse the launch is asked first, then its replayed topic is created,
//! last its control record is written.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use shadow_control::{
    Comparison, Control, ControlRecord, ControlState, ControlWriter, Filters, Launch, LaunchLimits, LaunchStatus,
    Pause, Ramp, Replay, ensure_shared_topics,
};
use shadow_kafka::TopicSpec;
use shadow_record::{LaunchName, Route, ServiceName, topics};
use shadow_runtime::units::HumanDuration;
use shadow_verdict::Gates;
use url::Url;

use super::{StartAt, change, start, target};
use crate::commands::diff::rules;
use crate::commands::ramp::{OnFailArg, Steps};
use crate::failure::Failure;
use crate::kafka::{Kafka, Written};
use crate::output::Output;
use crate::words;

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  All of the traffic captured from now on, safe methods only:
      shadowctl launch create checkout-v2 --service checkout --candidate http://10.0.3.7:8080
  A tenth of what was captured since noon, writes included, because the candidate has its own database:
      shadowctl launch create checkout-v2 --service checkout --candidate http://10.0.3.7:8080 \\
          --sample 0.1 --from 2026-01-31T12:00:00Z --isolation 'own database, outbound calls stubbed' \\
          --rules checkout.toml --paused
  One percent first, then more for as long as its gates hold; `shadowctl ramp run` climbs:
      shadowctl launch create checkout-v2 --service checkout --candidate http://10.0.3.7:8080 \\
          --ramp 1%:10m,10%:30m,50%:1h,100%:1h --on-fail roll-back")]
pub(crate) struct CreateArgs {
    /// Name of the launch; consumer groups and the replayed topic are named after it
    pub(crate) name: LaunchName,
    /// The service whose captured traffic is replayed
    #[arg(long)]
    pub(crate) service: ServiceName,
    /// Base URL of the candidate
    #[arg(long, value_name = "URL", value_parser = target::parse)]
    pub(crate) candidate: Url,
    /// Base URL of a second copy of the live build, to tell noise from fault; it gets a sample of what the candidate gets
    #[arg(long, value_name = "URL", value_parser = target::parse)]
    pub(crate) control: Option<Url>,
    /// Share of the candidate's requests that the control gets too, above 0 and up to 1
    #[arg(long, value_name = "SHARE", default_value_t = Control::default_sample(), value_parser = share, requires = "control")]
    pub(crate) control_sample: f64,
    /// Share of the captured exchanges to replay, above 0 and up to 1
    #[arg(long, default_value = "1", value_parser = share)]
    pub(crate) sample: f64,
    /// Raise the sample step by step, each a share and how long to stay at least; `shadowctl ramp run` does it
    #[arg(long, value_name = "SHARE:TIME,...", conflicts_with = "sample")]
    pub(crate) ramp: Option<Steps>,
    /// What the ramp does when the verdict is fail
    #[arg(long, value_enum, default_value = "roll-back", requires = "ramp")]
    pub(crate) on_fail: OnFailArg,
    /// Where to begin: `earliest`, `latest` or a time (RFC 3339)
    #[arg(long, default_value = "latest", value_name = "WHERE")]
    pub(crate) from: StartAt,
    /// Comparison rules (TOML): what to ignore, which arrays have no order
    #[arg(long, value_name = "FILE")]
    pub(crate) rules: Option<PathBuf>,
    /// Gates of the verdict (TOML): what must hold before the candidate may go live
    #[arg(long, value_name = "FILE")]
    pub(crate) gates: Option<PathBuf>,
    /// How the candidate, and the control, are kept from production's stores, in your words; without it only safe methods are
    /// replayed
    #[arg(long, value_name = "TEXT", value_parser = isolation)]
    pub(crate) isolation: Option<String>,
    /// Targets that are allowed, as `host`, `host:port` or a network such as `10.1.0.0/16`; repeatable
    #[arg(long, value_name = "HOST", value_parser = target::entry)]
    pub(crate) allow: Vec<String>,
    /// Targets that are refused, whatever is allowed; as --allow, repeatable
    #[arg(long, value_name = "HOST", value_parser = target::entry)]
    pub(crate) deny: Vec<String>,
    /// Replay only this method; repeatable
    #[arg(long = "method", value_name = "METHOD")]
    pub(crate) methods: Vec<String>,
    /// Replay only this route, such as `GET /orders/{id}`; repeatable
    #[arg(long = "route", value_name = "ROUTE", value_parser = route)]
    pub(crate) routes: Vec<String>,
    /// Replay only requests with this header, as `name` or `name=value` with its masked value; repeatable, all must hold
    #[arg(long = "header", value_name = "HEADER")]
    pub(crate) headers: Vec<String>,
    /// How to replay (TOML): timing, order, breaker, write policy, what to learn from answers; docs/replay.md explains it
    #[arg(long, value_name = "FILE")]
    pub(crate) replay: Option<PathBuf>,
    /// Create it paused; `shadowctl launch resume NAME` lets it go
    #[arg(long)]
    pub(crate) paused: bool,
    /// Requests in flight to the candidate from one replayer
    #[arg(long, value_name = "N", default_value_t = LaunchLimits::default().max_in_flight as u32,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) max_in_flight: u32,
    /// Longest wait for an answer of the candidate
    #[arg(long, default_value = "10s", value_parser = timeout)]
    pub(crate) timeout: HumanDuration,
    /// Record the candidate's answers without comparing them
    #[arg(long)]
    pub(crate) no_compare: bool,
    /// Why, for whoever looks at it later
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
    #[command(flatten)]
    pub(crate) output: Output,
}

pub(crate) fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        _ => Err("a share is a number above 0 and up to 1, such as 0.1".to_owned()),
    }
}

/// Words that say nothing open no writes: they are an unset variable of somebody's script.
pub(crate) fn isolation(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => {
            Err("say how its stores are kept apart, or leave the option out: then only safe methods are replayed"
                .into())
        }
        words => Ok(words.to_owned()),
    }
}

pub(crate) fn route(text: &str) -> Result<String, String> {
    Route::parse(text).map(|_| text.trim().to_owned()).map_err(|error| error.to_string())
}

pub(crate) fn timeout(text: &str) -> Result<HumanDuration, String> {
    let timeout: HumanDuration =
        text.parse().map_err(|error: shadow_runtime::units::InvalidQuantity| error.to_string())?;
    if timeout.get().as_millis() == 0 { Err("write 1ms or more, such as 10s".to_owned()) } else { Ok(timeout) }
}

/// A launch that was just made.
#[derive(Debug)]
pub(crate) struct Created {
    pub(crate) launch: Launch,
    version: i64,
    partitions: usize,
}

impl fmt::Display for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Launch { name, service, candidate, control, sample, isolation, status, .. } = &self.launch;
        let (state, next) = match status {
            LaunchStatus::Paused => ("paused", format!("`shadowctl launch resume {name}` lets it go")),
            _ if self.launch.ramp.is_some() => ("active", "`shadowctl ramp run` raises its sample".to_owned()),
            _ => ("active", format!("`shadowctl report {name}` tells what it found")),
        };
        writeln!(f, "launch {name} created, {state} (control version {})", self.version)?;
        let (share, partitions) = (words::share(*sample), self.partitions);
        writeln!(f, "  replays {share} of {} ({partitions} partitions) to {candidate}", topics::captured(service))?;
        if let Some(Control { url, sample }) = control {
            writeln!(f, "  and {} of that to the control {url}", words::share(*sample))?;
        }
        if isolation.is_none() {
            writeln!(f, "  safe methods only (GET, HEAD, OPTIONS, TRACE): no isolation was declared (--isolation)")?;
        }
        write!(f, "  next: {next}")
    }
}

/// Creates a launch.
///
/// # Errors
/// When it exists, the captured topic does not, the rules do not hold, the candidate may not be a target, or Kafka does not
/// answer.
pub(crate) async fn create(kafka: &Kafka, args: CreateArgs) -> Result<Created, Failure> {
    let rules = args.rules.as_deref().map(read_rules).transpose()?;
    let gates = args.gates.as_deref().map(read_gates).transpose()?;
    let replay = match &args.replay {
        Some(file) => read_replay(file, args.deny)?,
        None => Replay { deny: args.deny, ..Replay::default() },
    };
    let control = args.control.map(|url| Control { url, sample: args.control_sample });
    let on_fail = args.on_fail.into();
    let ramp = args.ramp.map(|Steps(steps)| Ramp { on_fail, ..Ramp::of(steps) });
    let launch = Launch {
        name: args.name,
        service: args.service,
        candidate: args.candidate,
        control,
        sample: ramp.as_ref().map_or(args.sample, |ramp| ramp.steps[0].sample),
        filters: Filters { methods: upper(args.methods), routes: args.routes, headers: args.headers },
        isolation: args.isolation,
        allow: args.allow,
        comparison: if args.no_compare { Comparison::Off } else { Comparison::On },
        rules,
        gates,
        start: BTreeMap::new(),
        status: if args.paused { LaunchStatus::Paused } else { LaunchStatus::Active },
        limits: LaunchLimits {
            max_in_flight: args.max_in_flight as usize,
            timeout_ms: args.timeout.get().as_millis() as u64,
        },
        replay,
        ramp,
        change: change(args.why),
    };
    put_new(kafka, launch, args.from).await
}

/// Asks everything that could refuse the launch, creates its topic and puts it on the control topic.
///
/// # Errors
/// As [`create`].
pub(crate) async fn put_new(kafka: &Kafka, mut launch: Launch, from: StartAt) -> Result<Created, Failure> {
    let lists = target::lists(&launch.allow, &launch.replay.deny)?;
    let targets: Vec<&Url> =
        [&launch.candidate].into_iter().chain(launch.control.as_ref().map(|control| &control.url)).collect();
    if let [candidate, control] = targets[..]
        && target::host_port(candidate) == target::host_port(control)
    {
        return Err(Failure::usage(
            format!("{control} is the candidate itself"),
            "run a second copy of the live build for --control; docs/operations.md tells how",
        ));
    }
    if !(lists.allow.is_empty() && lists.deny.is_empty()) {
        // What the command line alone refuses is refused without asking anybody.
        for target in &targets {
            target::prove(&ControlState::empty(), &lists, target).await?;
        }
    }
    let state = kafka.control().await?;
    if state.unreadable.contains(&ControlRecord::launch_key(&launch.name)) {
        return Err(Failure::negative(
            format!("launch {} was written by a newer version, which this one would overwrite", launch.name),
            "choose another name, or upgrade shadowctl",
        ));
    }
    if state.launches.contains_key(&launch.name) {
        return Err(Failure::negative(
            format!("launch {} exists", launch.name),
            format!("choose another name; `shadowctl launch show {}` shows it", launch.name),
        ));
    }
    for target in targets {
        target::prove(&state, &lists, target).await?;
    }
    launch.start = start::offsets(kafka, &launch.service, from).await?;
    let partitions = launch.start.len();

    ensure_shared_topics(&kafka.admin).await?;
    let replayed = topics::replayed(&launch.service, &launch.name);
    kafka.admin.ensure_topic(&TopicSpec::deleting(replayed, partitions as i32)).await?;
    let writer = ControlWriter::new(&kafka.config)?;
    // Also where somebody has paused one of that name before.
    let paused = state.status_of(&launch) == LaunchStatus::Paused;
    if launch.status == LaunchStatus::Paused {
        // Before the launch, so that there is no moment at which it runs.
        let pause = Pause::of_launch(launch.name.clone(), true, launch.change.clone());
        writer.put(&ControlRecord::Pause(pause)).await?;
        launch.status = LaunchStatus::Active;
    }
    let record = ControlRecord::Launch(Box::new(launch.clone()));
    let version = writer.put(&record).await?;
    // Kafka has no compare-and-swap: who was first is looked at afterwards, and keeps the name.
    if let Written::Launch(theirs) = kafka.written_between(&launch.name, state.version, version).await? {
        writer.put(&ControlRecord::Launch(theirs.clone())).await?;
        return Err(Failure::negative(
            format!("{} created launch {} at the same moment", theirs.change.by, launch.name),
            format!("choose another name; `shadowctl launch show {}` shows theirs", launch.name),
        ));
    }
    if paused {
        launch.status = LaunchStatus::Paused;
    }
    Ok(Created { launch, version, partitions })
}

/// Methods as requests have them.
pub(crate) fn upper(methods: Vec<String>) -> Vec<String> {
    methods.into_iter().map(|method| method.to_ascii_uppercase()).collect()
}

fn read_rules(path: &Path) -> Result<String, Failure> {
    rules::read(path).map(|(text, _)| text)
}

/// Reads a file of `--replay`; `deny` joins what it denies.
///
/// # Errors
/// When it cannot be read, or contradicts itself.
pub(crate) fn read_replay(path: &Path, deny: Vec<String>) -> Result<Replay, Failure> {
    const REMEDY: &str = "correct it; docs/replay.md explains every key";
    let text = read_checked(path, "--replay", REMEDY, |text| toml::from_str::<Replay>(text))?;
    let mut replay: Replay = toml::from_str(&text).map_err(Failure::internal)?;
    replay.deny.extend(deny);
    if let [first, more @ ..] = replay.problems().as_slice() {
        let cause = more.iter().fold(first.clone(), |all, problem| format!("{all}\n  {problem}"));
        return Err(Failure::usage(cause, "correct the file of --replay; docs/replay.md explains every key"));
    }
    Ok(replay)
}

fn read_gates(path: &Path) -> Result<String, Failure> {
    read_checked(path, "--gates", "correct the gates; docs/verdict.md explains them", Gates::parse)
}

/// Reads the file that `flag` names; what `parse` refuses is not put on the control topic.
fn read_checked<T, E: fmt::Display>(
    path: &Path,
    flag: &str,
    remedy: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<String, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!("cannot read {shown}: {error}"), format!("check the path of {flag}"))
    })?;
    match parse(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::usage(format!("{shown}: {error}"), remedy)),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: CreateArgs,
    }

    fn parse(more: &str) -> Result<CreateArgs, clap::Error> {
        let line = format!("create v2 --service shop --candidate http://c:1 {more}");
        Line::try_parse_from(line.split_whitespace()).map(|line| line.args)
    }

    #[test]
    fn a_control_gets_a_tenth_unless_told_otherwise() {
        let args = parse("--control http://d:1").unwrap();
        assert_eq!((args.control.unwrap().as_str(), args.control_sample), ("http://d:1/", 0.1));
        assert_eq!(parse("--control http://d:1 --control-sample 0.5").unwrap().control_sample, 0.5);
        assert!(parse("").unwrap().control.is_none());
        for wrong in ["--control-sample 0.5", "--control http://d:1 --control-sample 0", "--control d:1"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn words_that_say_nothing_are_no_isolation() {
        for blank in ["--isolation=", "--isolation=\u{a0}"] {
            assert!(parse(blank).is_err(), "{blank:?}");
        }
        assert_eq!(parse("--isolation=own").unwrap().isolation.as_deref(), Some("own"));
    }

    #[test]
    fn gates_are_refused_with_file_and_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[launch]\nmatch_rate = \"high\"\n").unwrap();
        let failure = read_gates(file.path()).unwrap_err();
        assert!(failure.cause.contains(&file.path().display().to_string()), "{failure}");
        assert!(failure.cause.contains("line 2"), "{failure}");
        std::fs::write(file.path(), "").unwrap();
        assert_eq!(read_gates(file.path()).unwrap(), "");
    }
}
