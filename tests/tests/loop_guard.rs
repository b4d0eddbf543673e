//! The agent's loop guard: a replayer whose target is production behind an address that nobody knows, so that every check of
//! targets passes, is stopped by the agent that meets its requests.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support.rs"]
mod support;

use shadow_control::ControlFeed;
use shadow_kafka::Admin;
use shadow_record::topics;
use support::{Candidate, Rig, Service, free_port, test_service, until};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// A load balancer in front of the agent that no agent has announced.
async fn second_address(agent: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let agent = agent.clone();
            tokio::spawn(async move {
                let mut there = TcpStream::connect(agent).await?;
                tokio::io::copy_bidirectional(&mut client, &mut there).await
            });
        }
    });
    address
}

async fn captured(rig: &Rig) -> i64 {
    let (admin, topic) = (Admin::new(&rig.kafka).unwrap(), topics::captured(&test_service()));
    let mut records = 0;
    for partition in 0..4 {
        records += admin.watermarks(&topic, partition).await.unwrap().1;
    }
    records
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_meets_replayed_requests_captures_none_and_pauses_every_launch() {
    let mut rig = Rig::start().await;
    let production = Candidate::start().await;
    let (listen, accounts) = (format!("127.0.0.1:{}", free_port()), tempfile::tempdir().unwrap());
    let agent = Service::start(
        "capture-agent",
        &format!(
            "[service]\nname = \"shop\"\ninstance = \"agent-1\"\n[listen]\naddress = \"{listen}\"\n[primary]\nurl = \"{}\"\n\
             [capture]\npartitions = 4\naccount = {:?}\nlatency_budget = \"off\"\nlag_budget = \"off\"\n\
             [masking]\nroutes = [\"* /orders/{{id}}\"]\n[kafka]\nbrokers = \"{}\"\n",
            production.url,
            accounts.path(),
            rig.kafka.brokers
        ),
    )
    .expecting("production is affected; pausing every launch")
    .ready()
    .await;
    let stop = CancellationToken::new();
    let mut control = ControlFeed::spawn(&rig.kafka, stop.clone());
    control.wait_for(|state| !state.upstreams.is_empty()).await.unwrap();

    // What is announced is refused; the other way in is not known to anyone.
    let refused = ["launch", "create", "v2", "--service", "shop", "--candidate", &format!("http://{listen}")];
    assert_eq!(rig.try_shadowctl(&refused).await.status.code(), Some(1));
    let alias = second_address(listen).await;
    rig.launch("v2", |launch| launch.candidate = format!("http://{alias}").parse().unwrap()).await;
    rig.rate(Some(50.0)).await;
    rig.traffic.write(1_000).await;
    let replayer = rig.replayer("r1").ready().await;

    let state =
        control.wait_for(|state| state.pauses.get(&None).is_some_and(|pause| pause.paused)).await.unwrap().clone();
    let change = &state.pauses[&None].change;
    assert_eq!((change.by.as_str(), change.why.as_str()), ("agent-1", "a replayed request reached production"));
    // Everything stands still, and what reached production was relayed but never captured.
    let paused = rig.shadowctl(&["pause"]).await;
    assert!(paused.contains("r1"), "{paused}");
    let reached = production.requests();
    let counted = until("the agent's count", || async {
        let metrics = reqwest::get(format!("{}/metrics", agent.admin())).await.ok()?.text().await.ok()?;
        let line = metrics.lines().find(|line| line.contains("reason=\"replayed\""))?;
        let count: u64 = line.rsplit_once(' ')?.1.parse().ok()?;
        (count >= reached && count > 0).then_some(count)
    })
    .await;
    assert!(counted < 1_000, "the pause came before the traffic was over: {counted}");
    assert_eq!(captured(&rig).await, 1_000, "only what the test wrote itself");
    replayer.stop();
    agent.stop();
    stop.cancel();
    rig.stack.stop().await;
}
