//! `shadowctl import`: a recording instead of traffic. Masked as the agent masks, appended to the captured topic as the agent does
//! it, at the times that the recording names.
//!
//! Two readings: the first finds out whether the recording can be imported, and writes nothing; the second appends. Guarantees:
//! nothing unmasked reaches Kafka; success is said only when Kafka has acknowledged every record; memory does not grow with the file.

mod append;
mod exchange;
mod har;
mod meter;
mod ndjson;
mod room;
mod source;
mod survey;
mod view;
mod window;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use shadow_capture::{DropReason, Recorder, Sampler, SamplingConfig, Sealer};
use shadow_control::LastWord;
use shadow_mask::Masker;
use shadow_record::{ServiceName, topics};
use shadow_runtime::Instance;
use shadow_runtime::units::ByteSize;
use tokio_util::sync::CancellationToken;

use self::append::{Plan, Repeat, append};
use self::meter::Meter;
use self::room::Room;
use self::source::{Format, Recording};
use self::survey::{Hosts, Survey};
use self::view::{Answer, render};
use super::masking::MaskingArgs;
use crate::failure::{Failure, KAFKA_REMEDY, Kind};
use crate::kafka::Kafka;
use crate::output::Output;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
    shadowctl import har shop.har --service shop-recorded --host shop.example --session-cookie sid --key-file mask.key
    jq -c ... access.log | shadowctl import ndjson - --service shop-recorded --key-file mask.key
    shadowctl import har shop.har --service shop-recorded --key-file mask.key --dry-run

The key is that of --key-file, SHADOW_MASKING_KEY or SHADOW_MASKING_KEY_FILE, and must be the replayers'.
`--repeat forever` appends the recording again and again, until Ctrl-C, and never runs further than --ahead records ahead of the
slowest active launch of the service.

Exit code 1: entries were broken; they are listed with the reason, and all others were imported. 64: the file is no recording.
69: Kafka has not acknowledged every record.")]
pub(crate) struct ImportArgs {
    /// What the file is
    #[arg(value_enum)]
    format: Format,
    /// The recording; `-` for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The service whose captured topic it goes to; one of its own keeps recordings apart from traffic
    #[arg(long)]
    service: ServiceName,
    #[command(flatten)]
    masking: MaskingArgs,
    /// Only exchanges with this host, or `host:port`; may be given several times
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
    /// Cookie that names the session; requests of one session keep their order
    #[arg(long, value_name = "NAME")]
    session_cookie: Option<String>,
    /// Header that names the session, when no cookie does
    #[arg(long, value_name = "NAME")]
    session_header: Option<String>,
    /// Partitions of the captured topic if it must be created
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    partitions: i32,
    /// Bytes kept of one body; longer ones leave as length and digest, as the agent's `capture.body_limit`
    #[arg(long, value_name = "SIZE", default_value = "256KiB")]
    body_limit: ByteSize,
    /// How often the recording is appended, one after the other: a number, or `forever`
    #[arg(long, value_name = "N|forever", default_value = "1")]
    repeat: Repeat,
    /// With `--repeat forever`: most records ahead of the slowest active launch
    #[arg(long, value_name = "RECORDS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    ahead: u64,
    /// Read and mask everything, write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: Output,
}

pub(crate) async fn run(kafka: impl Fn() -> Result<Kafka, Failure>, args: ImportArgs) -> Result<ExitCode, Failure> {
    let masker = Arc::new(args.masker()?);
    let sealer = args.sealer(masker.clone())?;
    let (recording, survey) = args.survey().await?;
    let entry = if args.format == Format::Har { "entry" } else { "line" };
    let mut answer = Answer::of(&args, &masker, entry);
    let length = survey.length();
    let wanted = survey.wanted;
    answer.add(survey, args.repeat);
    if wanted == 0 {
        args.output.show(&answer, render)?;
        return Err(Failure::negative("the recording holds nothing to import", "see what is said of its entries"));
    }
    let plan = Plan { recording, hosts: Hosts::named(&args.hosts), length, repeat: args.repeat, room: None };
    if args.dry_run {
        blocking(move || mask_only(&plan, &sealer)).await?;
        return args.conclude(&answer);
    }
    let kafka = kafka()?;
    let recorder = kafka.in_time(async { Ok(Recorder::start(sealer, &kafka.config, args.partitions).await?) }).await?;
    answer.partitions = recorder.partitions();
    let endless = args.repeat == Repeat::Forever;
    let room = endless.then(|| Room::of(kafka, args.service.clone(), args.ahead));
    let stop = CancellationToken::new();
    let interrupted = interrupt(stop.clone());
    let (recorder, appended) = blocking(move || {
        let meter = Meter::over(&plan.recording, "importing");
        let appended = append(Plan { room, ..plan }, &recorder, &meter, &stop);
        (recorder, appended)
    })
    .await?;
    let (account, word) = recorder.finish().await;
    interrupted.abort();
    answer.settle(&account, &appended);
    answer.broken_count += appended.refused.len() as u64;
    // These were told among the broken ones.
    let refused = account.dropped_for(DropReason::Unpublishable) + account.dropped_for(DropReason::MaskPanic);
    answer.broken.extend(appended.refused);
    if account.in_doubt + account.dropped_total() > refused {
        args.output.show(&answer, render)?;
        let cause = "Kafka has not acknowledged every record";
        return Err(Failure::unreachable(cause, "import it again into another service, once Kafka is well"));
    }
    if let Some(failure) = appended.failed {
        args.output.show(&answer, render)?;
        return Err(failure);
    }
    if word == LastWord::InDoubt {
        crate::output::note(&format!("the import's account may be missing in the ledger: {KAFKA_REMEDY}"));
    }
    if appended.stopped && !endless {
        args.output.show(&answer, render)?;
        return Err(Failure::interrupted("interrupted: the rest of the recording was not imported"));
    }
    args.conclude(&answer)
}

/// Cancels on Ctrl-C; a second one ends the process.
fn interrupt(stop: CancellationToken) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.cancel();
        }
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(Kind::Interrupted as i32);
        }
    })
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(Failure::internal)
}

/// Masks every exchange and forgets it: what would not survive masking shows here.
fn mask_only(plan: &Plan, sealer: &Sealer) {
    let meter = Meter::over(&plan.recording, "masking");
    let _ = plan.recording.each(&mut |entry| {
        meter.read(&plan.recording);
        if let Ok(exchange) = entry.read
            && plan.hosts.want(&exchange.host)
        {
            sealer.size(exchange.recorded);
        }
        ControlFlow::Continue(())
    });
}

impl ImportArgs {
    fn masker(&self) -> Result<Masker, Failure> {
        let key = self.masking.key()?.ok_or_else(|| {
            Failure::usage("an import needs the masking key of the replayers", "name its file with --key-file")
        })?;
        self.masking.masker(key)
    }

    fn sealer(&self, masker: Arc<Masker>) -> Result<Sealer, Failure> {
        let (session_cookie, session_header) = (self.session_cookie.clone(), self.session_header.clone());
        let sampler = Sampler::new(&SamplingConfig { session_cookie, session_header, ..SamplingConfig::default() })
            .map_err(|error| Failure::usage(error.to_string(), "write --session-header as a header's name"))?;
        let (service, instance) = (self.service.clone(), instance());
        Ok(Sealer::new(service, instance, masker, sampler, self.body_limit.as_len()))
    }

    /// The first reading.
    async fn survey(&self) -> Result<(Recording, Survey), Failure> {
        let (file, format, hosts) = (self.file.clone(), self.format, Hosts::named(&self.hosts));
        blocking(move || {
            let recording = Recording::open(&file, format)?;
            let survey = Survey::of(&recording, &hosts)?;
            hosts.fit(&survey)?;
            Ok((recording, survey))
        })
        .await?
    }

    fn conclude(&self, answer: &Answer) -> Result<ExitCode, Failure> {
        self.output.show(answer, render)?;
        Ok(if answer.is_incomplete() { Kind::Negative.into() } else { ExitCode::SUCCESS })
    }
}

/// Of this process, so that two imports are two accounts.
fn instance() -> String {
    // A name of an instance has 64 characters at most; 12 are for the words and 10 for the number.
    let host: String = Instance::default().as_str().chars().take(40).collect();
    format!("import-{host}-{}", std::process::id())
}

impl Answer {
    fn of(args: &ImportArgs, masker: &Masker, entry: &'static str) -> Self {
        Self {
            service: args.service.to_string(),
            topic: topics::captured(&args.service),
            dry_run: args.dry_run,
            partitions: 0,
            instance: instance(),
            masking_key: masker.key_id().to_owned(),
            began: None,
            length_ms: 0.0,
            passes: 1,
            hosts: Default::default(),
            imported: 0,
            in_doubt: 0,
            left_out: 0,
            dropped: 0,
            out_of_order: 0,
            not_replayable: Default::default(),
            broken_count: 0,
            broken: Vec::new(),
            cut: None,
            entry,
        }
    }
}

#[cfg(test)]
mod tests {
    use shadow_capture::CaptureSection;

    use super::*;

    #[test]
    fn the_defaults_are_the_agents() {
        use clap::Parser as _;
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: ImportArgs,
        }
        let args = Line::parse_from(["import", "har", "f", "--service", "s"]).args;
        let agent = CaptureSection::default();
        assert_eq!((args.partitions, args.body_limit), (agent.partitions, agent.body_limit));
        assert!(instance().parse::<Instance>().is_ok());
    }
}
