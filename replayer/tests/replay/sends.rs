//! What outcomes say of their send: its number, and whether it was alone.

use std::collections::BTreeSet;
use std::process::{Child, Command, ExitCode, Stdio};

use shadow_control::{Control, LaunchStatus, Mark};
use shadow_record::State;

use crate::bench::{Answers, Bench, Candidate};
use crate::captured::masker;

/// The first argument that makes this executable a replayer, which can be killed.
const REPLAYER: &str = "--as-replayer";

/// Is the replayer that [`start`] asks for.
pub(crate) fn replayer_requested() -> Option<ExitCode> {
    let mut args = std::env::args_os();
    let program = args.next()?;
    (args.next()? == REPLAYER).then(|| replayer::main_with(std::iter::once(program).chain(args)))
}

fn start(bench: &Bench, instance: &str) -> Child {
    let settings = [
        ("SHADOW_KAFKA_BROKERS", bench.kafka.brokers.clone()),
        ("SHADOW_SERVICE_INSTANCE", instance.to_owned()),
        ("SHADOW_MASKING_KEY", "k".repeat(32)),
        ("SHADOW_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
        ("SHADOW_LOG_LEVEL", "off".to_owned()),
    ];
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(REPLAYER).envs(settings).stdout(Stdio::null()).spawn().unwrap()
}

/// The numbers of the sends that were asked for, in order.
fn numbers(target: &Candidate) -> Vec<i64> {
    let masker = masker("", &[]);
    let number = |mark: &String| Mark::verify(mark, |body| masker.mark_tag(body)).expect("a signed mark").send;
    target.marks().iter().map(number).collect()
}

pub(crate) async fn what_is_sent_again_after_a_crash_has_another_number(brokers: &str) {
    const REQUESTS: usize = 5;
    let mut bench = Bench::new(brokers, "crashes", 1).await;
    let (candidate, control) = (Candidate::start(Answers::Held).await, Candidate::start(Answers::Held).await);
    let mut launch = bench.launch(&candidate);
    launch.control = Some(Control { url: control.url(), sample: 1.0 });
    bench.put(launch).await;
    bench.capture_requests(REQUESTS).await;
    let asked = async |times: usize| {
        candidate.asked_at_least(times * REQUESTS).await;
        control.asked_at_least(times * REQUESTS).await;
    };
    let mut crashing = start(&bench, "crashes-1");
    asked(1).await;
    crashing.kill().unwrap();
    crashing.wait().unwrap();

    let replayer = bench.replayer("crashes-2");
    asked(2).await;
    candidate.let_go();
    control.let_go();
    let account = bench.outcomes().await;
    replayer.stop().await;

    assert_eq!((account.counts()["completed"], account.duplicates), (REQUESTS, 0));
    let sent = numbers(&candidate);
    let different: BTreeSet<_> = sent.iter().copied().collect();
    assert_eq!(different.len(), 2 * REQUESTS, "each send has a number of its own: {sent:?}");
    assert!(sent.iter().all(|number| *number > 0));
    assert_eq!(numbers(&control).into_iter().collect::<BTreeSet<_>>(), different, "the control has the candidate's");
    let told: BTreeSet<_> = account.records.iter().filter_map(|record| record.send).collect();
    assert_eq!(told, sent[REQUESTS..].iter().copied().collect(), "an outcome has the number of the send it tells of");
    for record in &account.records {
        assert!(!record.alone, "they were under way together: {record:?}");
    }
}

pub(crate) async fn a_request_is_alone_while_nobody_else_can_send(brokers: &str) {
    let mut bench = Bench::new(brokers, "alone", 2).await;
    let candidate = Candidate::start(Answers::AtOnce).await;
    let mut launch = bench.launch(&candidate);
    (launch.limits.max_in_flight, launch.limits.timeout_ms) = (1, 3000);
    bench.put(launch.clone()).await;
    let first = bench.replayer("alone-1");
    assert!(!one_more(&mut bench).await, "right after the start somebody else's request may be under way still");
    until_alone(&mut bench).await;

    // Another member holds one of the partitions.
    let second = bench.replayer("alone-2");
    bench.heartbeat("alone-2", |s| s.counters.keys().any(|name| name.starts_with("lag."))).await;
    assert!(!one_more(&mut bench).await);
    second.stop().await;
    until_alone(&mut bench).await;

    // Another launch of the service may send to the same shadow.
    let mut other = launch.clone();
    other.name = "alone-v3".parse().unwrap();
    let version = bench.put(other.clone()).await;
    bench.acknowledged("alone-1", version, State::Running).await;
    assert!(!one_more(&mut bench).await);
    other.status = LaunchStatus::RolledBack;
    bench.put(other).await;
    until_alone(&mut bench).await;

    // What is not answered may go on at the candidate.
    let silent = Candidate::start(Answers::Held).await;
    launch.candidate = silent.url();
    bench.put(launch.clone()).await;
    bench.capture_requests(2).await;
    let account = bench.outcomes().await;
    assert_eq!(account.counts()["timeout"], 2);
    assert!(!account.records.last().unwrap().alone);
    first.stop().await;
}

/// Whether one more request was alone.
async fn one_more(bench: &mut Bench) -> bool {
    bench.capture_requests(1).await;
    bench.outcomes().await.records.last().unwrap().alone
}

async fn until_alone(bench: &mut Bench) {
    let alone = async { while !one_more(bench).await {} };
    assert!(tokio::time::timeout(crate::bench::PATIENCE, alone).await.is_ok(), "no request is ever alone");
}
