//! What each service takes at a steady rate, memory and processor time, with Kafka and ClickHouse beside them for scale. Figures are printed only
//! where everything that was sent was captured, replayed, compared and stored at that rate.

use std::time::{Duration, Instant};

use shadow_shop::LoadReport;
use tokio_util::sync::CancellationToken;

use super::bytes::say_bytes;
use super::deployment::{Deployment, Flow};
use super::process::{Cores, cpu, memory};
use super::setup::load;

/// Before anything is counted: caches, connections and pools fill, and the first rows have waited for their calls.
const WARM_UP: Duration = Duration::from_secs(15);
/// Of the load, how much later than meant a request may be sent, and how much more may wait at the end than at the beginning.
const SLACK: Duration = Duration::from_secs(1);

/// Measures at each rate in a deployment of its own.
pub(super) async fn resources(length: Duration, rates: &[u32]) {
    for &rate in rates {
        at(rate, length).await;
    }
}

/// Everything at one moment.
struct Sample {
    at: Instant,
    cpu: Vec<Duration>,
    cores: Cores,
    flow: Flow,
}

impl Sample {
    async fn take(deployment: &Deployment) -> Self {
        let cpu = deployment.processes.iter().map(|(_, id)| cpu(*id)).collect();
        Self { at: Instant::now(), cpu, cores: Cores::now(), flow: deployment.flow().await }
    }
}

async fn at(rate: u32, length: Duration) {
    let deployment = Deployment::start().await;
    send(&deployment, rate, WARM_UP, 2).await;
    let before = Sample::take(&deployment).await;
    let report = send(&deployment, rate, length, 3).await;
    let after = Sample::take(&deployment).await;
    let memory: Vec<_> = deployment.processes.iter().map(|(_, id)| memory(*id)).collect();
    let settled = deployment.settled().await;

    let what = format!("resources at {rate}/s");
    println!(
        "{what}: {} s, {} sent, {} answered, {} failed, at most {:.0} ms late; {:.0} % of the cores' time was idle",
        length.as_secs(),
        report.sent,
        report.succeeded,
        report.failed,
        report.max_lag.as_secs_f64() * 1000.0,
        100.0 * after.cores.idle_since(&before.cores)
    );
    say_flow(&what, &deployment, (before.flow, after.flow), settled).await;
    let problems = problems(&deployment, &report, (&before, &after), settled, (rate, length)).await;
    if problems.is_empty() {
        println!("| at {rate} requests/s | MiB resident | most | share of a core | us of it for each request |");
        println!("|---|---|---|---|---|");
        let took = (after.at - before.at).as_secs_f64();
        for (n, (name, _)) in deployment.processes.iter().enumerate() {
            let busy = (after.cpu[n] - before.cpu[n]).as_secs_f64();
            let (now, most) = memory[n];
            println!("| {name} | {now} | {most} | {:.3} | {:.0} |", busy / took, 1e6 * busy / report.sent as f64);
        }
    } else {
        println!("{what}: DISCARDED, the load was not kept up: {}", problems.join("; "));
    }
    say_bytes(&what, &deployment).await;
    deployment.stop().await;
}

async fn send(deployment: &Deployment, rate: u32, length: Duration, seed: u64) -> LoadReport {
    let mut load = load(&deployment.url, rate, length.as_secs());
    // Of each seed its own traces and checkouts: a call belongs to one request only.
    load.seed = seed;
    load.run(CancellationToken::new(), |_| {}).await
}

async fn say_flow(what: &str, deployment: &Deployment, (before, after): (Flow, Flow), settled: Option<Duration>) {
    println!(
        "{what}: meanwhile {} captured, {} replayed, {} stored; at the end {} waited for the replayer and {} for the comparator, which lets a row \
         wait for its calls",
        after.captured - before.captured,
        after.replayed - before.replayed,
        after.stored - before.stored,
        after.captured - after.replayed,
        after.replayed - after.stored
    );
    let (end, compared) = (deployment.flow().await, deployment.compared().await);
    match settled {
        Some(took) => println!(
            "{what}: all {} captured since the start were stored {:.1} s after the load; {compared} of them have two answers, compared",
            end.stored,
            took.as_secs_f64()
        ),
        None => println!("{what}: {end:?} is where it stopped"),
    }
}

/// Why the figures would not be those of this rate.
async fn problems(
    deployment: &Deployment,
    report: &LoadReport,
    (before, after): (&Sample, &Sample),
    settled: Option<Duration>,
    (rate, length): (u32, Duration),
) -> Vec<String> {
    let mut problems = Vec::new();
    let mut hold = |holds: bool, otherwise: String| {
        if !holds {
            problems.push(otherwise);
        }
    };
    let failure = report.first_failure.as_deref().unwrap_or_default();
    hold(report.failed == 0, format!("{} requests failed: {failure}", report.failed));
    hold(report.max_lag <= SLACK, format!("a request was sent {:.1} s late", report.max_lag.as_secs_f64()));
    hold(report.elapsed <= length + SLACK, format!("the load took {:.1} s", report.elapsed.as_secs_f64()));
    let behind = |flow: Flow| [flow.captured - flow.replayed, flow.replayed - flow.stored];
    let more = behind(after.flow).into_iter().zip(behind(before.flow)).map(|(after, before)| after - before);
    let allowed = (f64::from(rate) * SLACK.as_secs_f64()) as i64;
    for (more, name) in more.zip(["replayer", "comparator"]) {
        hold(more <= allowed, format!("the {name} fell {more} records behind"));
    }
    let account = deployment.account().await;
    hold(account.seen == account.acknowledged, format!("not everything was captured: {account:?}"));
    let again = deployment.flow().await;
    hold(again.replayed == again.captured, format!("{} were sent again", again.replayed - again.captured));
    hold(settled.is_some(), "nothing moved any more before all was stored".to_owned());
    problems
}
