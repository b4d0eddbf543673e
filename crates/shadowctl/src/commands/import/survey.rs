//! The first reading: what the recording holds, before anything of it is written.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use serde::Serialize;
use shadow_record::Timestamp;

use super::exchange::{Entry, Exchange, Unusable};
use super::source::{ReadError, Recording};
use crate::failure::Failure;

/// Most broken entries that are listed; all are counted.
const LISTED: usize = 10_000;

/// An entry that is not imported, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Broken {
    /// From 0 in a HAR; the line, from 1, in NDJSON.
    pub(super) entry: usize,
    pub(super) why: String,
}

/// What a recording holds.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Exchanges by host.
    pub(super) hosts: BTreeMap<String, u64>,
    /// Entries that are nothing to replay, by what they are.
    pub(super) skipped: BTreeMap<&'static str, u64>,
    pub(super) broken: Vec<Broken>,
    pub(super) broken_count: u64,
    /// Why the reading ended early.
    pub(super) cut: Option<String>,
    /// Of the exchanges that are wanted.
    pub(super) wanted: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

impl Survey {
    /// Reads the whole recording.
    ///
    /// # Errors
    /// When it is not of its format.
    pub(super) fn of(recording: &Recording, hosts: &Hosts) -> Result<Self, Failure> {
        let mut survey = Self::default();
        let ended = recording.each(&mut |entry| {
            survey.note(entry, hosts);
            ControlFlow::Continue(())
        });
        match ended {
            Ok(()) => {}
            Err(ReadError::NotThis(cause)) => {
                let cause = format!("{} is not a HAR file: {cause}", recording.name());
                return Err(Failure::usage(cause, "export it again, or import it as ndjson (docs/formats.md)"));
            }
            Err(ReadError::BrokenOff { entries, cause }) => {
                survey.cut = Some(format!("what follows {} cannot be read: {cause}", recording.entry(entries)));
            }
        }
        Ok(survey)
    }

    fn note(&mut self, Entry { index, read }: Entry, hosts: &Hosts) {
        match read {
            Ok(exchange) => {
                if hosts.want(&exchange.host) {
                    self.wanted += 1;
                    self.span(&exchange);
                }
                *self.hosts.entry(exchange.host).or_default() += 1;
            }
            Err(Unusable::NotReplayable(what)) => *self.skipped.entry(what).or_default() += 1,
            Err(Unusable::Broken(why)) => self.breaks(index, why),
        }
    }

    /// Counts a broken entry.
    pub(super) fn breaks(&mut self, entry: usize, why: String) {
        self.broken_count += 1;
        if self.broken.len() < LISTED {
            self.broken.push(Broken { entry, why });
        }
    }

    fn span(&mut self, exchange: &Exchange) {
        let recorded = &exchange.recorded;
        let (began, ended) = (recorded.captured_at, recorded.captured_at.plus(recorded.total));
        self.first = Some(self.first.map_or(began, |first| first.min(began)));
        self.last = self.last.max(Some(ended));
    }

    /// From the first request to the end of the last exchange to end; at least a millisecond.
    pub(super) fn length(&self) -> Duration {
        let span = self.first.zip(self.last).map(|(first, last)| last.since(first));
        span.unwrap_or_default().max(Duration::from_millis(1))
    }

    /// When the recording began.
    pub(super) fn began(&self) -> Option<Timestamp> {
        self.first
    }
}

/// The hosts whose exchanges are wanted.
pub(super) struct Hosts(Vec<String>);

impl Hosts {
    /// Those named; all when none is.
    pub(super) fn named(hosts: &[String]) -> Self {
        Self(hosts.iter().map(|host| host.to_ascii_lowercase()).collect())
    }

    /// Whether exchanges with `host` are wanted; a name without a port stands for every port.
    pub(super) fn want(&self, host: &str) -> bool {
        let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
        let name = name.map_or(host, |(name, _)| name);
        self.0.is_empty() || self.0.iter().any(|wanted| wanted == host || wanted == name)
    }

    /// Refuses a recording that no one service has answered.
    ///
    /// # Errors
    /// When it has several hosts and none was named, or none of those named.
    pub(super) fn fit(&self, survey: &Survey) -> Result<(), Failure> {
        let list: Vec<String> = survey.hosts.iter().map(|(host, count)| format!("{host} ({count})")).collect();
        let list = list.join(", ");
        let remedy = "name that of the service with --host";
        if self.0.is_empty() && survey.hosts.len() > 1 {
            return Err(Failure::usage(format!("the recording is of several hosts: {list}"), remedy));
        }
        if survey.wanted == 0 && !survey.hosts.is_empty() {
            return Err(Failure::usage(
                format!("the recording has no exchange with such a host; it has {list}"),
                remedy,
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_wanted_with_its_port_or_on_every_port() {
        let hosts = Hosts::named(&["Shop.example".to_owned(), "h:81".to_owned()]);
        for (host, wanted) in
            [("shop.example", true), ("shop.example:8443", true), ("h:81", true), ("h:80", false), ("h", false)]
        {
            assert_eq!(hosts.want(host), wanted, "{host}");
        }
        assert!(Hosts::named(&["[::1]".to_owned()]).want("[::1]:80") && Hosts::named(&[]).want("any"));
    }

    #[test]
    fn a_recording_of_several_hosts_is_refused_with_their_names_unless_one_is_named() {
        let survey = Survey { hosts: [("a".to_owned(), 2), ("b".to_owned(), 1)].into(), ..Survey::default() };
        let refused = Hosts::named(&[]).fit(&survey).unwrap_err();
        assert!(refused.cause.contains("a (2), b (1)"), "{refused:?}");
        assert!(Hosts::named(&["c".to_owned()]).fit(&survey).is_err());
        assert!(Hosts::named(&["a".to_owned()]).fit(&Survey { wanted: 2, ..survey }).is_ok());
    }
}
