//! `shadowctl ledger --account-dir`: what agents left on this host, read and left where it is.

use std::path::Path;

use serde::Serialize;
use shadow_capture::{Ended, Found, LeftAccount, survey};

use super::{AgentLedger, render_agents};
use crate::failure::Failure;
use crate::output::Output;

/// What a directory holds.
#[derive(Debug, Default, Serialize)]
struct Answer {
    agents: Vec<AgentLedger>,
    unreadable: Vec<Unread>,
}

/// A file that is no account.
#[derive(Debug, Serialize)]
struct Unread {
    path: String,
    why: String,
}

pub(super) fn run(dir: &Path, output: Output) -> Result<(), Failure> {
    let found = survey(dir).map_err(|error| {
        Failure::usage(
            format!("cannot read {}: {error}", dir.display()),
            "name the agents' directory, as capture.account sets it; without that /run/shadowline or /dev/shm/shadowline",
        )
    })?;
    let mut answer = Answer::default();
    for Found { path, account, held } in found {
        match account {
            Ok(account) => answer.agents.push(ledger(&account, held)),
            Err(why) => {
                answer.unreadable.push(Unread { path: path.display().to_string(), why: why.to_string() });
            }
        }
    }
    output.show(&answer, render)?;
    match answer.unreadable.first() {
        None => Ok(()),
        Some(first) => Err(Failure::negative(
            format!("{} is no account that this version can read: {}", first.path, first.why),
            "read it with the shadowctl of the agent's version, or remove it",
        )),
    }
}

/// A running agent's account is shown as it would stand if the agent were killed now.
fn ledger(account: &LeftAccount, held: bool) -> AgentLedger {
    let of = |name: &str| account.counter(name);
    let state = match account.ended {
        _ if held => "running",
        Ended::Stopped => "stopped",
        Ended::Killed => "killed",
    };
    let [seen, excluded, sampled_out, dropped, acknowledged, in_doubt, lost_with_agent] =
        ["seen", "excluded", "sampled_out", "dropped", "acknowledged", "in_doubt", "lost_with_agent"].map(of);
    let settled = excluded + sampled_out + dropped + acknowledged + in_doubt + lost_with_agent;
    AgentLedger {
        service: account.service.clone(),
        instance: account.instance.clone(),
        epoch: account.epoch,
        state: state.to_owned(),
        seen,
        excluded,
        sampled_out,
        dropped,
        acknowledged,
        in_doubt,
        in_flight: 0,
        lost_with_agent,
        balanced: u8::from(seen == settled),
    }
}

fn render(answer: &Answer) -> String {
    if answer.agents.is_empty() {
        return "no account".to_owned();
    }
    render_agents(&answer.agents)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Kind;

    #[test]
    fn a_killed_agents_account_is_shown_and_balances() {
        let counters = [("seen", 9), ("acknowledged", 5), ("in_doubt", 1), ("lost_with_agent", 3), ("killed", 1)];
        let account = LeftAccount {
            service: "shop".into(),
            instance: "agent-1".into(),
            brokers: "k:9092".into(),
            epoch: 7,
            ended: Ended::Killed,
            counters: counters.map(|(name, count)| (name.to_owned(), count)).into(),
        };
        let shown = ledger(&account, false);
        assert_eq!((shown.state.as_str(), shown.seen, shown.lost_with_agent, shown.balanced), ("killed", 9, 3, 1));
        assert_eq!(ledger(&account, true).state, "running");
        let text = render(&Answer { agents: vec![shown], unreadable: Vec::new() });
        assert!(text.contains("agent-1") && text.contains("killed") && text.contains("yes"), "{text}");
    }

    #[test]
    fn what_is_no_account_is_named_and_a_missing_directory_is_explained() {
        let dir = tempfile::tempdir().unwrap();
        assert!(run(dir.path(), Output::default()).is_ok());
        std::fs::write(dir.path().join("shop.a.1.account"), "garbage").unwrap();
        let failure = run(dir.path(), Output::default()).unwrap_err();
        assert_eq!(failure.kind, Kind::Negative);
        assert!(failure.cause.contains("shop.a.1.account") && failure.cause.contains("7 bytes"), "{failure}");
        let failure = run(&dir.path().join("none"), Output::default()).unwrap_err();
        assert!(failure.kind == Kind::Usage && failure.remedy.contains("capture.account"), "{failure}");
    }
}
