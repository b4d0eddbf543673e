//! `shadowctl drill`: the kill switch pulled on a launch that is really sending, with the evidence kept, and let go again.
//!
//! One trial: see that the launch sends; pause it; every member confirms; every member proves by a later heartbeat that it stayed
//! silent; resume; the evidence goes to ClickHouse's table `drills`. Guarantee: whatever fails on the way, Ctrl-C included, the
//! launch is resumed, unless somebody else has changed it meanwhile.

mod evidence;
mod report;

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use shadow_control::{Change, ControlRecord, ControlWriter, Launch, LaunchStatus, StatusBoard};
use shadow_kafka::{Tail, TailEvent};
use shadow_record::{LaunchName, Status, Timestamp, decode, topics};
use shadow_runtime::units::HumanDuration;
use url::Url;

use self::evidence::{Evidence, Watch};
use self::report::{Drilled, Trial};
use super::launch::change;
use super::pause::Wanted;
use super::pause::roll::Roll;
use crate::failure::Failure;
use crate::kafka::{Kafka, MEMBER_PATIENCE, launch_of, recent};
use crate::output::{Output, note};
use crate::sql::Sql;
use crate::words;

/// How long the launch has to show that it sends.
const SENDING: Duration = Duration::from_secs(15);
/// Beyond the hold, how long members have for a heartbeat that proves their silence.
const PROOF: Duration = Duration::from_secs(5);
/// What is on its way when the last member confirms has this long to arrive before the candidate's count is taken.
const ARRIVAL: Duration = Duration::from_millis(250);
/// Tries to resume, and the time between them.
const RESUMES: (u32, Duration) = (30, Duration::from_secs(2));

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Refuses a launch that sends nothing: a switch that stops nothing proves nothing. The launch is always resumed.

Examples:
  shadowctl drill --launch checkout-v2
  shadowctl drill --launch checkout-v2 --repeat 20 --candidate-count http://10.0.3.7:8080/requests-served")]
pub(crate) struct DrillArgs {
    /// The launch
    #[arg(long)]
    launch: LaunchName,
    /// How often
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    repeat: u32,
    /// How long the launch stays paused after the last confirmation, each time
    #[arg(long, default_value = "2s")]
    hold: HumanDuration,
    /// How long members may take to confirm
    #[arg(long, default_value = "10s")]
    timeout: HumanDuration,
    /// A URL that answers with the number of requests the candidate has served, not counting this one
    #[arg(long, value_name = "URL")]
    candidate_count: Option<Url>,
    /// Why, for whoever looks at it later
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    #[command(flatten)]
    output: Output,
}

pub(crate) async fn run(kafka: &Kafka, sql: &Sql, args: DrillArgs) -> Result<(), Failure> {
    let state = kafka.control().await?;
    let launch = launch_of(&state, &args.launch)?;
    if state.pauses.values().any(|pause| pause.paused && pause.instance.is_none())
        || launch.status != LaunchStatus::Active
    {
        return Err(Failure::negative(
            format!("launch {} is paused or has ended: there is nothing to stop", launch.name),
            "`shadowctl status` and `shadowctl launch show` tell by whom; drill a launch that sends",
        ));
    }
    // Evidence that could not be kept is none: asked before anything is stopped.
    sql.execute("SELECT 1 FROM drills LIMIT 0", &[]).await?;
    let why = format!("drill: {}", args.why.as_deref().unwrap_or("the kill switch is tested"));
    let mut drill = Drill {
        kafka,
        writer: ControlWriter::new(&kafka.config)?,
        tail: Tail::open(&kafka.config, topics::STATUS, recent()).await?,
        board: StatusBoard::default(),
        started_at: Timestamp::now(),
        change: change(Some(why)),
        args,
    };
    drill.catch_up().await?;
    let mut trials = Vec::new();
    let mut ended = Ok(());
    for number in 1..=drill.args.repeat {
        match drill.trial(number, sql).await {
            Ok(trial) => trials.push(trial),
            Err(failure) => {
                ended = Err(failure);
                break;
            }
        }
    }
    if !trials.is_empty() {
        let drilled = Drilled::of(drill.args.launch.clone(), trials);
        drill.args.output.show(&drilled, Drilled::render)?;
        ended = ended.and_then(|()| drilled.verdict());
    }
    ended
}

/// A drill under way.
struct Drill<'a> {
    kafka: &'a Kafka,
    writer: ControlWriter,
    tail: Tail,
    /// Every heartbeat so far.
    board: StatusBoard,
    started_at: Timestamp,
    /// Who drills, and why.
    change: Change,
    args: DrillArgs,
}

impl Drill<'_> {
    /// One pull of the switch, from a launch that sends to one that sends again.
    async fn trial(&mut self, number: u32, sql: &Sql) -> Result<Trial, Failure> {
        tokio::select! {
            sending = self.sending() => sending?,
            () = told_to_stop() => return Err(Failure::interrupted("interrupted; nothing was paused")),
        }
        let state = self.kafka.control().await?;
        let before = launch_of(&state, &self.args.launch)?.clone();
        let change = Change { at: Timestamp::now(), ..self.change.clone() };
        let paused = Launch { status: LaunchStatus::Paused, change, ..before };
        let stopped = AssertUnwindSafe(self.stopped(&paused)).catch_unwind();
        let stopped = tokio::select! {
            stopped = stopped => stopped.unwrap_or_else(|_| Err(Failure::internal("the drill panicked"))),
            () = told_to_stop() => Err(Failure::interrupted("interrupted; the launch is resumed")),
        };
        self.resume(&paused).await?;
        let trial = stopped?;
        sql.insert("drills", &trial.rows(number, self.started_at, &paused)).await?;
        Ok(trial)
    }

    /// Waits until a member of the launch has sent something from now on.
    async fn sending(&mut self) -> Result<(), Failure> {
        let before: Vec<Status> = self.board.members().map(|member| member.status.clone()).collect();
        let last_send = |status: &Status| {
            let held = before.iter().find(|held| held.instance == status.instance && held.launch == status.launch);
            held.and_then(|held| held.last_send_at)
        };
        let launch = self.args.launch.clone();
        let seen = async {
            loop {
                let (_, status) = self.heartbeat().await?;
                if status.launch.as_ref() == Some(&launch) && status.last_send_at > last_send(&status) {
                    return Ok(());
                }
            }
        };
        tokio::time::timeout(SENDING, seen).await.unwrap_or_else(|_| {
            Err(Failure::negative(
                format!("launch {launch} has sent nothing for {}: there is nothing to stop", words::duration(SENDING)),
                "drill while traffic flows; `shadowctl status` shows every member's last send",
            ))
        })
    }

    /// Pauses, and gathers the evidence.
    async fn stopped(&mut self, paused: &Launch) -> Result<Trial, Failure> {
        let (begun_at, begun) = (Timestamp::now(), Instant::now());
        let version = self.writer.put(&ControlRecord::Launch(Box::new(paused.clone()))).await?;
        // The record stood at some moment before this; by how much the command preceded it is at most this.
        let appended = begun.elapsed();
        let command = self.kafka.control_with(version).await?;
        let mut roll = Roll::new(Some(paused.name.clone()), Wanted::Paused, version, command);
        self.board.members().for_each(|member| roll.take(member.seen, member.status.clone()));
        roll.catch_up();
        if !roll.is_complete() {
            let confirmed = |seen, status: &Status| {
                roll.take(seen, status.clone());
                roll.is_complete()
            };
            self.hear(self.args.timeout.get(), confirmed).await?;
        }
        let all_confirmed = begun.elapsed();
        let (members, _) = roll.into_members();
        let (hold, url) = (self.args.hold.get(), self.args.candidate_count.clone());
        let mut watch = Watch::over(&members, hold);
        let proved = |_, status: &Status| {
            watch.take(status);
            watch.is_complete()
        };
        let (counted, heard) = tokio::join!(count_twice(url.as_ref(), hold), self.hear(hold + PROOF, proved));
        heard?;
        let members: Vec<Evidence> = watch.into_evidence(appended);
        Ok(Trial { begun_at, control_version: version, appended, all_confirmed, members, counted: counted? })
    }

    /// Lets the launch go on, if the pause is still ours.
    async fn resume(&self, paused: &Launch) -> Result<(), Failure> {
        let (tries, wait) = RESUMES;
        let mut last = Failure::internal("not tried");
        for attempt in 0..tries {
            if attempt > 0 {
                note(&format!("note: launch {} is not resumed yet ({last}); trying again", paused.name));
                tokio::time::sleep(wait).await;
            }
            match self.resume_once(paused).await {
                Ok(done) => return done,
                Err(failure) => last = failure,
            }
        }
        Err(Failure { remedy: format!("run `shadowctl resume --launch {}`", paused.name), ..last })
    }

    /// The outer error is worth another try, the inner one is final.
    async fn resume_once(&self, paused: &Launch) -> Result<Result<(), Failure>, Failure> {
        let state = self.kafka.control().await?;
        let now = match state.launches.get(&paused.name) {
            Some(now) if now.status == LaunchStatus::Active => return Ok(Ok(())),
            Some(now) if now.status == LaunchStatus::Paused && now.change == paused.change => now,
            _ => {
                return Ok(Err(Failure::negative(
                    format!(
                        "somebody else has changed launch {} during the drill; it stays as they left it",
                        paused.name
                    ),
                    format!("`shadowctl launch show {0}`; `shadowctl resume --launch {0}` lets it go on", paused.name),
                )));
            }
        };
        let change = Change { why: "drill: over".to_owned(), at: Timestamp::now(), ..self.change.clone() };
        let active = Launch { status: LaunchStatus::Active, change, ..now.clone() };
        self.writer.put(&ControlRecord::Launch(Box::new(active))).await?;
        Ok(Ok(()))
    }

    /// Reads what is there already.
    async fn catch_up(&mut self) -> Result<(), Failure> {
        let kafka = self.kafka;
        let read = async {
            loop {
                match self.tail.recv().await? {
                    TailEvent::CaughtUp => return Ok(()),
                    TailEvent::Record(record) => crate::kafka::apply_status(&mut self.board, &record),
                }
            }
        };
        kafka.in_time(read).await
    }

    /// Hands out heartbeats until `enough` says so, or for no longer than `patience`.
    async fn hear(
        &mut self,
        patience: Duration,
        mut enough: impl FnMut(Timestamp, &Status) -> bool,
    ) -> Result<(), Failure> {
        let hear = async {
            loop {
                let (seen, status) = self.heartbeat().await?;
                if enough(seen, &status) {
                    return Ok(());
                }
            }
        };
        tokio::time::timeout(patience, hear).await.unwrap_or(Ok(()))
    }

    /// The next heartbeat and when the broker had it.
    async fn heartbeat(&mut self) -> Result<(Timestamp, Status), Failure> {
        loop {
            let TailEvent::Record(record) = self.tail.recv().await? else { continue };
            if let Ok(status) = decode::<Status>(&record.payload) {
                self.board.apply(record.appended_at, status.clone());
                return Ok((record.appended_at, status));
            }
        }
    }
}

/// The candidate's own count at the begin and at the end of the hold.
async fn count_twice(url: Option<&Url>, hold: Duration) -> Result<Option<(u64, u64)>, Failure> {
    let Some(url) = url else { return Ok(None) };
    // Before the client, which asks for a TLS provider even where it speaks none; whoever came first did the same.
    drop(rustls::crypto::ring::default_provider().install_default());
    tokio::time::sleep(ARRIVAL.min(hold / 2)).await;
    let before = count(url).await?;
    tokio::time::sleep(hold.saturating_sub(ARRIVAL.min(hold / 2))).await;
    Ok(Some((before, count(url).await?)))
}

async fn count(url: &Url) -> Result<u64, Failure> {
    /// A number has no more digits.
    const LONGEST: usize = 64;
    let unusable = |cause: String| {
        Failure::unreachable(
            format!("{url} does not tell how many requests the candidate has served: {cause}"),
            "--candidate-count takes a URL whose whole answer is one number",
        )
    };
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(MEMBER_PATIENCE)
        .build()
        .map_err(|error| unusable(error.to_string()))?;
    let answer = client.get(url.clone()).send().await.and_then(reqwest::Response::error_for_status);
    let mut answer = answer.map_err(|error| unusable(error.to_string()))?;
    let mut text = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| unusable(error.to_string()))? {
        text.extend_from_slice(&chunk);
        if text.len() > LONGEST {
            return Err(unusable("the answer is no number".to_owned()));
        }
    }
    let text = String::from_utf8_lossy(&text);
    text.trim().parse().map_err(|_| unusable("the answer is no number".to_owned()))
}

/// Ctrl-C, or SIGTERM.
async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminated) = signal(SignalKind::terminate()) else {
        return drop(tokio::signal::ctrl_c().await);
    };
    tokio::select! { _ = tokio::signal::ctrl_c() => {}, _ = terminated.recv() => {} }
}
