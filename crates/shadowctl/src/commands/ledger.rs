//! `shadowctl ledger`: the account of every captured request. It comes from offsets and deduplicated rows; the agents' own
//! account, which ends where Kafka begins, comes from their counters.

mod accounts;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use shadow_record::LaunchName;

use crate::failure::Failure;
use crate::output::Output;
use crate::sql::Sql;
use crate::table::Table;
use crate::words::count;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
captured  = completed + failed + skipped + dead-lettered + pending
completed = matched + differing + noise + expected + truncated + incomparable + conflict + uncompared
seen      = excluded + sampled out + dropped + acknowledged + in doubt + in flight + lost with the agent

What an agent that was killed had handed to Kafka is in doubt until it is found among the stored exchanges; what it had not is
lost with it. Agents publish the accounts of killed ones; --account-dir reads them on a host where none will start again.

Exit code 1: an account does not balance, or cannot be read.")]
pub(crate) struct LedgerArgs {
    /// Only this launch
    launch: Option<LaunchName>,
    /// Read what agents left in this directory (their capture.account) instead of asking ClickHouse
    #[arg(long, value_name = "DIR", conflicts_with = "launch")]
    account_dir: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// Both accounts.
#[derive(Debug, Serialize)]
struct Answer {
    launches: Vec<LaunchLedger>,
    agents: Vec<AgentLedger>,
}

/// The account of one launch: `ledger_launch` of the ClickHouse schema.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct LaunchLedger {
    pub(crate) launch: String,
    pub(crate) service: String,
    pub(crate) captured: i64,
    pub(crate) completed: i64,
    pub(crate) failed: i64,
    pub(crate) skipped: i64,
    pub(crate) dead_lettered: i64,
    pub(crate) pending: i64,
    pub(crate) matched: i64,
    pub(crate) differing: i64,
    pub(crate) noise: i64,
    pub(crate) expected: i64,
    pub(crate) truncated: i64,
    pub(crate) incomparable: i64,
    pub(crate) conflict: i64,
    pub(crate) uncompared: i64,
    /// 1 when it balances.
    pub(crate) balanced: u8,
}

impl LaunchLedger {
    /// Whether this stands for an account that ClickHouse does not hold, as of a launch of which nothing was read yet.
    pub(crate) fn is_absent(&self) -> bool {
        self.launch.is_empty()
    }
}

/// The account of one run of one agent: `ledger_agent` of the ClickHouse schema.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct AgentLedger {
    service: String,
    instance: String,
    /// Start of the run, microseconds since 1970.
    epoch: i64,
    /// Of its last heartbeat; `killed` when that was published for it.
    state: String,
    seen: i64,
    excluded: i64,
    sampled_out: i64,
    dropped: i64,
    acknowledged: i64,
    in_doubt: i64,
    in_flight: i64,
    lost_with_agent: i64,
    /// 1 when it balances.
    balanced: u8,
}

const LAUNCHES: &str = "SELECT launch, service, captured, completed, failed, skipped, dead_lettered, pending, matched, \
     differing, noise, expected, truncated, incomparable, conflict, uncompared, balanced \
     FROM ledger_launch WHERE {launch:String} = '' OR launch = {launch:String} ORDER BY launch";

const AGENTS: &str = "SELECT service, instance, epoch, state, seen, excluded, sampled_out, dropped, acknowledged, in_doubt, in_flight, \
     lost_with_agent, balanced FROM ledger_agent ORDER BY service, instance, epoch";

pub(crate) async fn run(sql: impl FnOnce() -> Result<Sql, Failure>, args: LedgerArgs) -> Result<(), Failure> {
    if let Some(dir) = &args.account_dir {
        return accounts::run(dir, args.output);
    }
    let sql = &sql()?;
    let name = args.launch.as_ref().map_or("", LaunchName::as_str);
    let launches = launches(sql, name).await?;
    let mut agents: Vec<AgentLedger> = sql.rows(AGENTS, &[]).await?;
    if args.launch.is_some() {
        agents.retain(|agent| launches.iter().any(|launch| launch.service == agent.service));
    }
    if launches.is_empty() && args.launch.is_some() {
        return Err(Failure::negative(
            format!("ClickHouse holds no account of a launch {name}"),
            "is the comparator running? `shadowctl launch list` and `shadowctl status` tell",
        ));
    }
    let answer = Answer { launches, agents };
    args.output.show(&answer, render)?;
    verdict(&answer)
}

/// The accounts of one launch, or of all when `name` is empty.
pub(crate) async fn launches(sql: &Sql, name: &str) -> Result<Vec<LaunchLedger>, Failure> {
    sql.rows(LAUNCHES, &[("launch", name)]).await
}

fn verdict(answer: &Answer) -> Result<(), Failure> {
    let launches = answer.launches.iter().filter(|l| l.balanced == 0).map(|l| format!("launch {}", l.launch));
    let agents = answer.agents.iter().filter(|a| a.balanced == 0).map(|a| format!("agent {}", a.instance));
    let unbalanced: Vec<String> = launches.chain(agents).collect();
    if unbalanced.is_empty() {
        return Ok(());
    }
    Err(Failure::negative(
        format!("the account does not balance: {}", unbalanced.join(", ")),
        "ask again in a few seconds; if it stays so, trust no verdict and report it: this must not happen",
    ))
}

fn render(answer: &Answer) -> String {
    if answer.launches.is_empty() && answer.agents.is_empty() {
        return "nothing to account for yet".to_owned();
    }
    let mut outcomes = Table::new(&[
        "launch",
        ">captured",
        ">completed",
        ">failed",
        ">skipped",
        ">dead-lettered",
        ">pending",
        "balanced",
    ]);
    let mut results = Table::new(&[
        "launch",
        ">completed",
        ">matched",
        ">differing",
        ">noise",
        ">expected",
        ">truncated",
        ">incomparable",
        ">conflict",
        ">uncompared",
    ]);
    for l in &answer.launches {
        let [captured, completed, failed, skipped, dead, pending] =
            [l.captured, l.completed, l.failed, l.skipped, l.dead_lettered, l.pending].map(count);
        outcomes.row([l.launch.clone(), captured, completed.clone(), failed, skipped, dead, pending, yes(l.balanced)]);
        let [matched, differing, noise, expected, truncated, incomparable, conflict, uncompared] =
            [l.matched, l.differing, l.noise, l.expected, l.truncated, l.incomparable, l.conflict, l.uncompared]
                .map(count);
        results.row([
            l.launch.clone(),
            completed,
            matched,
            differing,
            noise,
            expected,
            truncated,
            incomparable,
            conflict,
            uncompared,
        ]);
    }
    format!("{}\n{}\n{}", outcomes.render(), results.render(), render_agents(&answer.agents))
}

fn yes(balanced: u8) -> String {
    if balanced == 1 { "yes" } else { "NO" }.to_owned()
}

fn render_agents(of: &[AgentLedger]) -> String {
    let mut agents = Table::new(&[
        "agent",
        "service",
        "state",
        ">seen",
        ">excluded",
        ">sampled out",
        ">dropped",
        ">acknowledged",
        ">in doubt",
        ">in flight",
        ">lost",
        "balanced",
    ]);
    for a in of {
        let [seen, excluded, sampled_out, dropped, acknowledged, in_doubt, in_flight, lost] =
            [a.seen, a.excluded, a.sampled_out, a.dropped, a.acknowledged, a.in_doubt, a.in_flight, a.lost_with_agent]
                .map(count);
        agents.row([
            a.instance.clone(),
            a.service.clone(),
            a.state.clone(),
            seen,
            excluded,
            sampled_out,
            dropped,
            acknowledged,
            in_doubt,
            in_flight,
            lost,
            yes(a.balanced),
        ]);
    }
    agents.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(balanced: u8) -> Answer {
        let launch = LaunchLedger {
            launch: "shop-v2".into(),
            service: "shop".into(),
            captured: 2000,
            completed: 1920,
            skipped: 80,
            matched: 1800,
            differing: 120,
            balanced,
            ..LaunchLedger::default()
        };
        let agent = AgentLedger {
            service: "shop".into(),
            instance: "agent-1".into(),
            state: "running".into(),
            seen: 2000,
            acknowledged: 2000,
            balanced: 1,
            ..AgentLedger::default()
        };
        Answer { launches: vec![launch], agents: vec![agent] }
    }

    #[test]
    fn both_accounts_are_shown_with_whether_they_balance() {
        insta::assert_snapshot!(render(&answer(1)));
        assert!(verdict(&answer(1)).is_ok());
    }

    #[test]
    fn an_account_that_does_not_balance_is_a_negative_answer_that_names_it() {
        let failure = verdict(&answer(0)).unwrap_err();
        assert_eq!(failure.kind, crate::failure::Kind::Negative);
        assert!(failure.cause.contains("launch shop-v2"), "{failure}");
    }
}
