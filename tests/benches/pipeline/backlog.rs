//! Memory of the services while much waits for them: a launch a million records behind, and minutes without Kafka.

use shadow_shop::Build;
use tokio_util::sync::CancellationToken;

use super::process::say_memory;
use super::setup::{agent, load, shop};
use super::support::{Rig, sql, until};

/// Memory while a launch stands a million records behind, paused and then catching up.
pub(super) async fn behind() {
    const RECORDS: i64 = 1_000_000;
    let mut rig = Rig::start().await;
    let launch = rig.launch("bench", |launch| launch.status = shadow_control::LaunchStatus::Paused).await;
    let (replayer, comparator) = (rig.replayer("r1").ready().await, rig.comparator("c1").ready().await);
    while rig.traffic.written() < RECORDS {
        rig.traffic.write(20_000).await;
    }
    let both = [("replayer", &replayer), ("comparator", &comparator)];
    say_memory("paused, a million records behind", &both);
    rig.shadowctl(&["launch", "resume", launch.as_str()]).await;
    until("the launch to catch up a little", || async { (rig.candidate.requests() > 30_000).then_some(()) }).await;
    say_memory("catching up from a million behind", &both);
    rig.stack.stop().await;
}

/// Memory of every service through minutes without Kafka, with 500 requests/s through the agent.
pub(super) async fn outage(minutes: u64) {
    let mut rig = Rig::start().await;
    let (primary, candidate) = (shop(Build::Primary).await, shop(Build::Candidate).await);
    rig.launch("bench", |launch| launch.candidate = candidate.parse().unwrap()).await;
    let (replayer, comparator) = (rig.replayer("r1").ready().await, rig.comparator("c1").ready().await);
    let (url, agent) = agent(&rig, &primary).await;
    let services = [("capture-agent", &agent), ("replayer", &replayer), ("comparator", &comparator)];
    load(&url, 500, 20).run(CancellationToken::new(), |_| {}).await;
    say_memory("before the outage", &services);
    rig.stack.kafka().kill().unwrap();
    for minute in 1..=minutes {
        let report = load(&url, 500, 60).run(CancellationToken::new(), |_| {}).await;
        assert_eq!(report.failed, 0, "production must not notice");
        if [1, minutes / 2, minutes].contains(&minute) {
            say_memory(&format!("{minute} min without Kafka"), &services);
        }
    }
    rig.stack.kafka().restart().await.unwrap();
    load(&url, 500, 20).run(CancellationToken::new(), |_| {}).await;
    // Records that waited longer than the delivery time-out are in doubt; what found no room was dropped.
    let account = "SELECT balanced, dropped + in_doubt > 0 FROM shadow.ledger_agent WHERE instance = 'agent-1'";
    until("the agent's account to balance", || async {
        (sql(&rig.stack, account).await.trim() == "1\t1").then_some(())
    })
    .await;
    say_memory("after the outage", &services);
    let counts =
        "SELECT seen, acknowledged, in_doubt, dropped, in_flight FROM shadow.ledger_agent WHERE instance = 'agent-1'";
    let counts = sql(&rig.stack, counts).await;
    println!(
        "outage: all requests answered; the account balances: seen, acknowledged, in doubt, dropped, in flight: {counts}"
    );
    rig.stack.stop().await;
}
