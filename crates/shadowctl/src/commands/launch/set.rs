//! `shadowctl launch set`: what may change while a launch runs, shown old -> new.

use serde::Serialize;
use shadow_control::{Filters, Launch, RampState};
use shadow_record::LaunchName;
use shadow_runtime::units::HumanDuration;

use super::create::{isolation, route, share, timeout, upper};
use super::rewrite::rewrite;
use super::{change, refuse_ended};
use crate::commands::differences::{Difference, differences, render};
use crate::commands::pause::{self, Answer, ConfirmArgs, Wanted};
use crate::failure::Failure;
use crate::kafka::Kafka;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
What is not named stays. Rates are `shadowctl rate set`'s; candidate, rules, gates and where it begins belong to a launch for as
long as it lives, because what it has found rests on them: create another for others.

Examples:
  A quarter of the traffic, two minutes for each answer:
      shadowctl launch set checkout-v2 --sample 0.25 --answer-timeout 2m
  Two routes only, and then all of them again:
      shadowctl launch set checkout-v2 --route 'GET /orders/{id}' --route 'GET /search'
      shadowctl launch set checkout-v2 --all-routes
  Writes too, from now on:
      shadowctl launch set checkout-v2 --isolation 'own database, outbound calls stubbed' --why 'database restored'")]
pub(crate) struct SetArgs {
    /// The launch
    name: LaunchName,
    /// Share of the captured exchanges to replay, above 0 and up to 1; a ramp stops climbing until `shadowctl ramp resume`
    #[arg(long, value_parser = share)]
    sample: Option<f64>,
    /// Replay only this method; repeatable, in place of those before
    #[arg(long = "method", value_name = "METHOD")]
    methods: Vec<String>,
    /// Replay every method
    #[arg(long, conflicts_with = "methods")]
    all_methods: bool,
    /// Replay only this route, such as `GET /orders/{id}`; repeatable, in place of those before
    #[arg(long = "route", value_name = "ROUTE", value_parser = route)]
    routes: Vec<String>,
    /// Replay every route
    #[arg(long, conflicts_with = "routes")]
    all_routes: bool,
    /// Replay only requests with this header, as `name` or `name=value`; repeatable, in place of those before
    #[arg(long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    /// Replay requests whatever headers they have
    #[arg(long, conflicts_with = "headers")]
    all_headers: bool,
    /// How the candidate, and the control, are kept from production's stores, in your words
    #[arg(long, value_name = "TEXT", value_parser = isolation)]
    isolation: Option<String>,
    /// Take the declared isolation back: only safe methods are replayed
    #[arg(long, conflicts_with = "isolation")]
    no_isolation: bool,
    /// Requests in flight to the candidate from one replayer; its pipeline begins anew
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    max_in_flight: Option<u32>,
    /// Longest wait for an answer of the candidate; its pipeline begins anew
    #[arg(long = "answer-timeout", value_parser = timeout)]
    answer_timeout: Option<HumanDuration>,
    #[command(flatten)]
    confirm: ConfirmArgs,
}

impl SetArgs {
    fn applied_to(&self, launch: &Launch) -> Launch {
        let list = |now: &[String], given: &[String], all: bool| match given {
            _ if all => Vec::new(),
            [] => now.to_vec(),
            given => given.to_vec(),
        };
        let Filters { methods, routes, headers } = &launch.filters;
        let mut limits = launch.limits.clone();
        if let Some(most) = self.max_in_flight {
            limits.max_in_flight = most as usize;
        }
        if let Some(timeout) = self.answer_timeout {
            limits.timeout_ms = timeout.get().as_millis() as u64;
        }
        let isolation = if self.no_isolation { None } else { self.isolation.clone().or(launch.isolation.clone()) };
        Launch {
            sample: self.sample.unwrap_or(launch.sample),
            filters: Filters {
                methods: list(methods, &upper(self.methods.clone()), self.all_methods),
                routes: list(routes, &self.routes, self.all_routes),
                headers: list(headers, &self.headers, self.all_headers),
            },
            isolation,
            limits,
            ..launch.clone()
        }
    }
}

/// What changed, and who follows it.
#[derive(Debug, Serialize)]
struct Set {
    launch: Launch,
    changed: Vec<Difference>,
    /// `null` when nothing changed.
    acknowledged: Option<Answer>,
}

pub(super) async fn run(kafka: &Kafka, args: SetArgs) -> Result<(), Failure> {
    let (name, confirm) = (&args.name, &args.confirm);
    let set = rewrite(kafka, name, |launch| {
        refuse_ended(launch, "create another launch")?;
        let wanted = args.applied_to(launch);
        Ok((wanted != *launch).then(|| Launch { change: change(confirm.why.clone()), ..wanted }))
    })
    .await?;
    let changed = differences(Some(&record(&set.before)?), Some(&record(&set.after)?));
    let acknowledged = match set.version {
        Some(version) => {
            Some(pause::confirm(kafka, Some(name.clone()), Wanted::Changed, version, confirm.timeout).await?)
        }
        None => None,
    };
    let set = Set { launch: set.after, changed, acknowledged };
    confirm.output.show(&set, people)?;
    set.acknowledged.map_or(Ok(()), |answer| answer.verdict())
}

fn record(launch: &Launch) -> Result<serde_json::Value, Failure> {
    serde_json::to_value(launch).map_err(Failure::internal)
}

fn people(set: &Set) -> String {
    let name = &set.launch.name;
    let Some(acknowledged) = &set.acknowledged else {
        return format!("launch {name} is so already: nothing is changed");
    };
    let mut text = format!("launch {name} changed\n{}{}", render(&set.changed), acknowledged.roll_call());
    let climbing = set.launch.ramp.as_ref().is_some_and(|ramp| ramp.state == RampState::Climbing);
    if climbing && set.changed.iter().any(|difference| difference.what == "sample") {
        text.push_str(&format!("\nnote: its ramp climbs no further until `shadowctl ramp resume {name}`"));
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use shadow_control::Change;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: SetArgs,
    }

    fn set(launch: &Launch, line: &[&str]) -> Launch {
        let args = Line::try_parse_from([&["set", "v2"][..], line].concat()).unwrap().args;
        args.applied_to(launch)
    }

    #[test]
    fn what_is_not_named_stays_and_lists_are_replaced_or_emptied() {
        let (name, service) = ("v2".parse().unwrap(), "shop".parse().unwrap());
        let plain = Launch::of(name, service, "http://c:1".parse().unwrap(), Change::by("ann", ""));
        assert_eq!(set(&plain, &[]), plain);
        let narrow = set(&plain, &["--method", "get", "--route", "GET /a", "--header", "x=1", "--isolation", "own"]);
        assert_eq!(
            (&narrow.filters.methods[..], &narrow.filters.routes[..]),
            (&["GET".into()][..], &["GET /a".into()][..])
        );
        assert_eq!(narrow.isolation.as_deref(), Some("own"));
        let other =
            set(&narrow, &["--route", "GET /b", "--sample", "0.5", "--answer-timeout", "2s", "--max-in-flight", "3"]);
        assert_eq!((&other.filters.routes[..], other.sample), (&["GET /b".into()][..], 0.5));
        assert_eq!(
            (other.limits.max_in_flight, other.limits.timeout_ms, &other.isolation),
            (3, 2_000, &narrow.isolation)
        );
        let wide = ["--all-methods", "--all-routes", "--all-headers", "--no-isolation", "--sample", "1"];
        assert_eq!(set(&narrow, &wide), plain);
    }
}
