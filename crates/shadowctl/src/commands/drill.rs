//! `shadowctl drill`: the kill switch pulled on a launch that is really sending, with the evidence kept, and let go again.
//!
//! One trial: see that the launch sends; pause it; every member confirms; every member proves by a later heartbeat that it stayed
//! silent; resume; the evidence goes to ClickHouse's table `drills`. Guarantee: whatever fails on the way, Ctrl-C and a closed terminal
//! included, the drill's pause is lifted, and a pause that somebody else put meanwhile is not.

mod candidate;
mod evidence;
mod report;
mod switch;

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use shadow_control::{Change, StatusBoard};
use shadow_kafka::{Tail, TailEvent};
use shadow_record::{LaunchName, Status, Timestamp, decode, topics};
use shadow_runtime::units::HumanDuration;
use tokio::signal::unix::SignalKind;
use url::Url;

use self::candidate::count_twice;
use self::evidence::{Evidence, Watch};
use self::report::{Drilled, Trial};
use self::switch::{Pull, Switch};
use super::launch::change;
use super::pause::roll::Roll;
use super::pause::{Wanted, confirm};
use crate::failure::Failure;
use crate::kafka::{Kafka, recent};
use crate::output::{Output, note};
use crate::signals::Told;
use crate::sql::Sql;
use crate::words;

/// How long the launch has to show that it sends.
const SENDING: Duration = Duration::from_secs(15);
/// Beyond the hold, how long members have for a heartbeat that proves their silence.
const PROOF: Duration = Duration::from_secs(5);
/// Tries to resume, and the time between them.
const RESUMES: (u32, Duration) = (30, Duration::from_secs(2));

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Refuses a launch that sends nothing: a switch that stops nothing proves nothing. The drill's own pause is always lifted again, a pause that
somebody else put meanwhile is not.

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
    let why = format!("drill: {}", args.why.as_deref().unwrap_or("the kill switch is tested"));
    let change = change(Some(why));
    let switch = Switch::of(kafka, args.launch.clone(), change.clone())?;
    switch.ready().await?;
    // Evidence that could not be kept is none: the right to is asked for before anything is stopped.
    sql.execute("INSERT INTO drills (drill) SELECT 0 WHERE 0", &[]).await?;
    let mut told = Told::by([SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()])?;
    let mut drill = Drill {
        tail: Tail::open(&kafka.config, topics::STATUS, recent()).await?,
        board: StatusBoard::default(),
        started_at: Timestamp::now(),
        trials: Vec::new(),
        stands: Stands::Untouched,
        switch,
        change,
        args,
    };
    let mut ended = Ok(());
    for number in 1..=drill.args.repeat {
        ended = drill.trial(number, sql, &mut told).await;
        if ended.is_err() {
            break;
        }
    }
    let resumed = drill.resumed().await;
    if !drill.trials.is_empty() {
        let drilled = Drilled::of(drill.args.launch.clone(), drill.trials, resumed.is_ok());
        let shown = drill.args.output.show(&drilled, Drilled::render);
        ended = ended.and_then(|()| drilled.verdict()).and(shown);
    }
    ended.and(resumed)
}

/// A drill under way.
struct Drill<'a> {
    switch: Switch<'a>,
    tail: Tail,
    /// Every heartbeat so far.
    board: StatusBoard,
    started_at: Timestamp,
    trials: Vec<Trial>,
    stands: Stands,
    /// Who drills, and why.
    change: Change,
    args: DrillArgs,
}

/// How the drill has left the launch.
#[derive(Clone, Copy)]
enum Stands {
    /// As it was.
    Untouched,
    /// Paused: by the drill or by whoever came in between.
    Paused,
    /// Resumed by the control record that made this version.
    LetGo(i64),
}

impl Drill<'_> {
    /// One pull of the switch, from a launch that sends to one that is told to send again.
    async fn trial(&mut self, number: u32, sql: &Sql, told: &mut Told) -> Result<(), Failure> {
        let untouched = || Failure::interrupted("interrupted; nothing was paused");
        let ready = async {
            self.sending().await?;
            // As late as can be: whoever paused it in the meantime must not be taken for the drill.
            self.switch.ready().await
        };
        let pull = told.unless(ready).await.ok_or_else(untouched)??;
        self.stands = Stands::Paused;
        let stopped = told.unless(AssertUnwindSafe(self.stopped(&pull)).catch_unwind()).await;
        let resumed = self.resume(&pull).await;
        let stopped = match stopped {
            None => Err(Failure::interrupted("interrupted; the drill's pause is lifted")),
            Some(stopped) => stopped.unwrap_or_else(|_| Err(Failure::internal("the drill panicked"))),
        };
        let kept = match stopped {
            Ok(trial) => {
                let rows = trial.rows(number, self.started_at, &self.switch.launch, &self.change);
                self.trials.push(trial);
                let unkept =
                    || Failure::interrupted("interrupted; the last trial's evidence may not be in the table drills");
                told.unless(sql.insert("drills", &rows)).await.ok_or_else(unkept).flatten()
            }
            Err(failure) => Err(failure),
        };
        // A launch that stands still is the worst of the news.
        resumed.and(kept)
    }

    /// Waits until every member sends again as far as the control topic goes.
    ///
    /// # Errors
    /// When the launch is not resumed, or that is not confirmed.
    async fn resumed(&self) -> Result<(), Failure> {
        let Switch { kafka, launch, .. } = &self.switch;
        match self.stands {
            Stands::Untouched => Ok(()),
            Stands::Paused => Err(Failure::negative(
                format!("launch {launch} is not resumed"),
                format!(
                    "`shadowctl launch show {launch}` tells why; `shadowctl resume --launch {launch}` lifts a pause"
                ),
            )),
            Stands::LetGo(version) => {
                let name = Some(launch.clone());
                let answer = confirm(kafka, name, Wanted::Running, version, self.args.timeout).await?;
                answer.verdict()?;
                if answer.is_done() {
                    return Ok(());
                }
                Err(Failure::negative(
                    format!("the drill's pause of launch {launch} is lifted, but something else holds it by now"),
                    "`shadowctl status` and `shadowctl launch show` tell what",
                ))
            }
        }
    }

    /// Reads the heartbeats that are there already, so that those that follow tell of now.
    async fn catch_up(&mut self) -> Result<(), Failure> {
        let kafka = self.switch.kafka;
        let tail = Tail::open(&kafka.config, topics::STATUS, recent()).await?;
        let read = async {
            loop {
                match tail.recv().await? {
                    TailEvent::CaughtUp => return Ok(()),
                    TailEvent::Record(record) => crate::kafka::apply_status(&mut self.board, &record),
                }
            }
        };
        kafka.in_time(read).await?;
        self.tail = tail;
        Ok(())
    }

    /// Waits until a member of the launch has sent something from now on.
    async fn sending(&mut self) -> Result<(), Failure> {
        self.catch_up().await?;
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
    async fn stopped(&mut self, pull: &Pull) -> Result<Trial, Failure> {
        let (begun_at, begun) = (Timestamp::now(), Instant::now());
        let version = self.switch.pull(pull).await?;
        // The record stood at some moment before this; by how much the command preceded it is at most this.
        let appended = begun.elapsed();
        let command = self.switch.kafka.control_with(version).await?;
        if command.0.pauses.get(&None).is_some_and(|pause| pause.paused) {
            return Err(Failure::negative(
                "the kill switch of every launch was pulled at the same moment: this trial would show nothing",
                "`shadowctl audit` tells by whom",
            ));
        }
        let mut roll = Roll::new(Some(self.args.launch.clone()), Wanted::Paused, version, command);
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

    /// Lets the launch go on, if nobody else holds it.
    async fn resume(&mut self, pull: &Pull) -> Result<(), Failure> {
        let ((tries, wait), name) = (RESUMES, &self.args.launch);
        let mut last = Failure::internal("not tried");
        for attempt in 0..tries {
            if attempt > 0 {
                note(&format!("note: launch {name} is not resumed yet ({last}); trying again"));
                tokio::time::sleep(wait).await;
            }
            match self.switch.let_go(pull).await {
                Ok(done) => {
                    self.stands = Stands::LetGo(done?);
                    return Ok(());
                }
                Err(failure) => last = failure,
            }
        }
        Err(Failure { remedy: format!("run `shadowctl resume --launch {name}`"), ..last })
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
