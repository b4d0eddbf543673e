//! The agent's account of every request it saw.
//!
//! Guarantee: `seen = excluded + sampled_out + dropped + acknowledged + in_doubt + in_flight`, exactly. Each request holds one
//! [`Ticket`]; settling consumes it, and a ticket that is merely dropped settles itself, so no path can forget a request or
//! count one twice.
//!
//! The counters live in a mapped file (`page`, `layout`), so they outlive an agent that is killed; the next one finds them
//! (`file`), balances them (`left`) and publishes them (`last_words`, beside this module).

mod file;
mod layout;
mod left;
mod page;
mod reasons;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use shadow_record::Timestamp;

use file::AccountFile;
pub(crate) use file::{Directory, take_over};
pub use file::{Found, survey};
use layout::Kind;
pub(crate) use layout::Label;
pub use layout::Unreadable;
pub use left::{Ended, LeftAccount};
use page::Page;
pub use reasons::{DropReason, Exclusion};

/// Agents of one name on one host that may begin in the same microsecond.
const SAME_MOMENT: usize = 8;
/// Counter of requests that Kafka may have.
const IN_DOUBT: &str = "in_doubt";
/// Counter of requests that an agent was killed over before Kafka could have them.
const LOST: &str = "lost_with_agent";

/// Where a settled request ends in the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Left out on purpose.
    Excluded(Exclusion),
    /// Not in the sample.
    SampledOut,
    /// Should have been captured and was not.
    Dropped(DropReason),
    /// Kafka has it.
    Acknowledged,
    /// Kafka may have it: the answer was lost.
    InDoubt,
}

impl Settlement {
    /// Whether it is Kafka's word: a request has it after it was handed to Kafka, and then no other.
    const fn kind(self) -> Kind {
        match self {
            Self::Acknowledged
            | Self::InDoubt
            | Self::Dropped(DropReason::KafkaQueueFull | DropReason::Unpublishable | DropReason::DeliveryFailed) => {
                Kind::Late
            }
            Self::Excluded(_) | Self::SampledOut | Self::Dropped(_) => Kind::Early,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Excluded(why) => format!("excluded.{}", why.as_str()),
            Self::SampledOut => "sampled_out".to_owned(),
            Self::Dropped(why) => format!("dropped.{}", why.as_str()),
            Self::Acknowledged => "acknowledged".to_owned(),
            Self::InDoubt => IN_DOUBT.to_owned(),
        }
    }

    /// Its counter's place among the slots.
    const fn slot(self) -> usize {
        match self {
            Self::SampledOut => CLOSED + 1,
            Self::Acknowledged => CLOSED + 2,
            Self::InDoubt => CLOSED + 3,
            Self::Excluded(why) => CLOSED + 4 + why as usize,
            Self::Dropped(why) => CLOSED + 4 + Exclusion::ALL.len() + why as usize,
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        let excluded = Exclusion::ALL.iter().map(|&why| Self::Excluded(why));
        let dropped = DropReason::ALL.iter().map(|&why| Self::Dropped(why));
        [Self::SampledOut, Self::Acknowledged, Self::InDoubt].into_iter().chain(excluded).chain(dropped)
    }
}

// The first slots; a settlement's follow them.
const SEEN: usize = 0;
const HANDED: usize = 1;
const CLOSED: usize = 2;

/// Every counter in the order of the slots.
fn counters() -> Vec<(Kind, String)> {
    let first = [(Kind::Seen, "seen"), (Kind::Handed, "handed"), (Kind::Closed, "closed")];
    let first = first.map(|(kind, name)| (kind, name.to_owned()));
    first.into_iter().chain(Settlement::all().map(|settlement| (settlement.kind(), settlement.name()))).collect()
}

/// Counters of one agent process.
#[derive(Debug)]
pub struct Ledger {
    epoch: Timestamp,
    page: Page,
    /// Where the page lives, unless in memory only.
    file: Option<AccountFile>,
}

impl Ledger {
    /// An empty account whose epoch is now, in memory only.
    pub fn open() -> Arc<Self> {
        Arc::new(Self { epoch: Timestamp::now(), page: Page::in_memory(), file: None })
    }

    /// An empty account in the first directory that can be used. When there is none, it is in memory only, and a warning says
    /// why.
    pub(crate) fn kept(mut label: Label, directories: &[Directory]) -> Arc<Self> {
        let mut refused = Vec::new();
        for directory in directories {
            match Self::keep(&mut label, directory) {
                Ok(ledger) => return Arc::new(ledger),
                Err(error) => refused.push(format!("{}: {error}", directory.path().display())),
            }
        }
        let why = refused.join("; ");
        tracing::warn!(
            why,
            "the account is kept in memory only: if this agent is killed, what it saw since its last heartbeat is not known; set capture.account to a directory on a tmpfs where it may write"
        );
        Self::open()
    }

    fn keep(label: &mut Label, directory: &Directory) -> io::Result<Self> {
        directory.ensure()?;
        let mut made = AccountFile::create(directory.path(), label, &counters());
        for _ in 0..SAME_MOMENT {
            if !made.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists) {
                break;
            }
            label.epoch += 1;
            made = AccountFile::create(directory.path(), label, &counters());
        }
        made.map(|(file, page)| Self { epoch: Timestamp(label.epoch), page, file: Some(file) })
    }

    /// Start of the process; with the sequence numbers it makes loss visible.
    pub fn epoch(&self) -> Timestamp {
        self.epoch
    }

    /// Where the account is kept, unless in memory only.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(AccountFile::path)
    }

    /// Enters a request that was just seen.
    pub fn see(self: &Arc<Self>) -> Ticket {
        let sequence = self.page.counter(SEEN).fetch_add(1, Ordering::Relaxed) as i64;
        let otherwise = Settlement::Dropped(DropReason::Stopped);
        Ticket { ledger: Arc::clone(self), sequence, stage: Stage::Here, otherwise }
    }

    fn count(&self, slot: usize) {
        if self.page.counter(CLOSED).load(Ordering::Acquire) == 0 {
            self.page.counter(slot).fetch_add(1, Ordering::Release);
        }
    }

    /// What should have been recorded and is not known to be. Never falls.
    pub(crate) fn unrecorded(&self) -> u64 {
        let left_out = [Exclusion::Paused, Exclusion::Overload, Exclusion::Replayed, Exclusion::Refused];
        let left_out = left_out.into_iter().map(Settlement::Excluded);
        let dropped = DropReason::ALL.iter().map(|&why| Settlement::Dropped(why));
        let lost = left_out.chain(dropped).chain([Settlement::InDoubt]);
        lost.map(|settlement| self.page.counter(settlement.slot()).load(Ordering::Relaxed)).sum()
    }

    /// The last word: what Kafka was given and has no settlement by now is in doubt, what it was not given is dropped, and
    /// what comes later changes nothing.
    pub fn close(&self) {
        self.page.counter(CLOSED).store(1, Ordering::Release);
    }

    /// Everybody who must know the account does: nothing of it is left behind.
    pub(crate) fn discard(&self) {
        if let Some(file) = &self.file
            && let Err(error) = file.remove()
        {
            tracing::warn!(%error, path = %file.path().display(), "the account's file cannot be removed; its account is published again");
        }
    }

    /// The account now. It always balances: what was settled is read before what was seen, and a request is seen before it is
    /// settled, so the difference is what was open in between. For the same reason what Kafka said is read before what Kafka
    /// was given.
    pub fn account(&self) -> Account {
        let closed = self.page.counter(CLOSED).load(Ordering::Acquire) != 0;
        let read = |slot: usize| self.page.counter(slot).load(Ordering::Acquire) as i64;
        let settled = |settlement: Settlement| read(settlement.slot());
        let late = |why: DropReason| Settlement::Dropped(why).kind() == Kind::Late;
        let mut account = Account {
            epoch: self.epoch,
            seen: 0,
            excluded: Exclusion::ALL.iter().map(|&why| (why, settled(Settlement::Excluded(why)))).collect(),
            sampled_out: settled(Settlement::SampledOut),
            dropped: DropReason::ALL.iter().map(|&why| (why, settled(Settlement::Dropped(why)))).collect(),
            acknowledged: settled(Settlement::Acknowledged),
            in_doubt: settled(Settlement::InDoubt),
            in_flight: 0,
        };
        let refused: i64 = account.dropped.iter().filter(|(why, _)| late(*why)).map(|(_, count)| count).sum();
        let in_kafka = read(HANDED) - account.acknowledged - account.in_doubt - refused;
        account.seen = read(SEEN);
        let open = account.seen - account.settled();
        if closed {
            account.in_doubt += in_kafka;
            account.dropped[DropReason::Stopped as usize].1 += open - in_kafka;
        } else {
            account.in_flight = open;
        }
        account
    }
}

impl Drop for Ledger {
    /// An account without a request is nobody's loss.
    fn drop(&mut self) {
        if self.page.counter(SEEN).load(Ordering::Acquire) == 0 {
            self.discard();
        }
    }
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Here,
    Handed,
}

/// One request's place in the account. Dropped unsettled, it counts as [`DropReason::Stopped`], or as in doubt once it was
/// handed to Kafka.
#[derive(Debug)]
#[must_use = "a ticket that is dropped settles as a drop"]
pub struct Ticket {
    ledger: Arc<Ledger>,
    sequence: i64,
    stage: Stage,
    otherwise: Settlement,
}

impl Ticket {
    /// Number of this request among all that the agent saw in this epoch, from 0.
    pub fn sequence(&self) -> i64 {
        self.sequence
    }

    /// Closes the request's account.
    pub fn settle(mut self, settlement: Settlement) {
        self.otherwise = settlement;
    }

    /// Shorthand for a drop.
    pub fn dropped(self, why: DropReason) {
        self.settle(Settlement::Dropped(why));
    }

    /// From here on Kafka may have the record, whatever happens to this ticket. To be called before Kafka has it: a process
    /// that is killed in between leaves a request in doubt, not one that is called lost and arrives.
    pub fn handed_to_kafka(mut self) -> Self {
        if self.stage == Stage::Here {
            self.stage = Stage::Handed;
            self.ledger.count(HANDED);
        }
        self.otherwise = Settlement::InDoubt;
        self
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        match (self.stage, self.otherwise.kind()) {
            // Kafka's word about a request that it was not known to have.
            (Stage::Here, Kind::Late) => self.ledger.count(HANDED),
            // What Kafka may have can only be settled by Kafka's word.
            (Stage::Handed, Kind::Early) => self.otherwise = Settlement::InDoubt,
            _ => {}
        }
        self.ledger.count(self.otherwise.slot());
    }
}

/// A reading of the [`Ledger`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the fields are the terms of the module's equation
pub struct Account {
    pub epoch: Timestamp,
    pub seen: i64,
    pub excluded: Vec<(Exclusion, i64)>,
    pub sampled_out: i64,
    pub dropped: Vec<(DropReason, i64)>,
    pub acknowledged: i64,
    pub in_doubt: i64,
    pub in_flight: i64,
}

impl Account {
    /// Requests dropped for `why`.
    pub fn dropped_for(&self, why: DropReason) -> i64 {
        self.dropped[why as usize].1
    }

    /// Requests excluded for `why`.
    pub fn excluded_for(&self, why: Exclusion) -> i64 {
        self.excluded[why as usize].1
    }

    /// Requests dropped for any reason.
    pub fn dropped_total(&self) -> i64 {
        self.dropped.iter().map(|(_, count)| count).sum()
    }

    /// Requests excluded for any reason.
    pub fn excluded_total(&self) -> i64 {
        self.excluded.iter().map(|(_, count)| count).sum()
    }

    /// Whether the two sides of the module's equation agree.
    pub fn balances(&self) -> bool {
        self.seen == self.settled() + self.in_flight && self.in_flight >= 0
    }

    fn settled(&self) -> i64 {
        self.excluded_total() + self.sampled_out + self.dropped_total() + self.acknowledged + self.in_doubt
    }

    /// The account as heartbeats carry it: totals by name, and each reason as `dropped.<reason>`, `excluded.<reason>`.
    pub fn counters(&self) -> BTreeMap<String, i64> {
        let totals = [
            ("seen", self.seen),
            ("excluded", self.excluded_total()),
            ("sampled_out", self.sampled_out),
            ("dropped", self.dropped_total()),
            ("acknowledged", self.acknowledged),
            ("in_doubt", self.in_doubt),
            ("in_flight", self.in_flight),
        ];
        let excluded = self.excluded.iter().map(|(why, n)| (format!("excluded.{}", why.as_str()), *n));
        let dropped = self.dropped.iter().map(|(why, n)| (format!("dropped.{}", why.as_str()), *n));
        totals.into_iter().map(|(name, n)| (name.to_owned(), n)).chain(excluded).chain(dropped).collect()
    }
}

#[cfg(test)]
mod tests;
