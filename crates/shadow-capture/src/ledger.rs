//! The agent's account of every request it saw.
//!
//! Guarantee: `seen = excluded + sampled_out + dropped + acknowledged + in_doubt + in_flight`, exactly. Each request holds one
//! [`Ticket`]; settling consumes it, and a ticket that is merely dropped settles itself, so no path can forget a request or
//! count one twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use shadow_record::Timestamp;

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant),* }

        impl $name {
            /// Every reason, in the order of the counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The reason as metrics and heartbeats spell it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }
    };
}

reasons! {
    /// Why a request is not meant to be captured.
    Exclusion {
        /// It carries the replayer's mark: the shadow has reached production.
        Replayed => "replayed",
        /// The configured filters leave it out.
        Filtered => "filtered",
        /// An upgraded connection, or a CONNECT: bytes without requests.
        Tunnel => "tunnel",
        /// Capturing is paused on this agent.
        Paused => "paused",
        /// The watchdog paused capturing: the agent was adding more time than it may.
        Overload => "overload",
    }
}

reasons! {
    /// Why a request that should have been captured was not published.
    DropReason {
        /// The queue behind the hot path was full.
        QueueFull => "queue_full",
        /// The process-wide budget left no room for the request's head.
        Budget => "budget",
        /// Masking panicked on it.
        MaskPanic => "mask_panic",
        /// Putting the exchange together panicked.
        CapturePanic => "capture_panic",
        /// The Kafka client's own queue was full.
        KafkaQueueFull => "kafka_queue_full",
        /// The Kafka client refused the record, as when it is too large.
        Unpublishable => "unpublishable",
        /// The brokers did not take it.
        DeliveryFailed => "delivery_failed",
        /// The agent stopped before it was handed to Kafka.
        Stopped => "stopped",
    }
}

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

/// Counters of one agent process.
#[derive(Debug)]
pub struct Ledger {
    epoch: Timestamp,
    next_sequence: AtomicI64,
    closed: AtomicBool,
    excluded: [AtomicU64; Exclusion::ALL.len()],
    sampled_out: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
    acknowledged: AtomicU64,
    in_doubt: AtomicU64,
}

impl Ledger {
    /// An empty account whose epoch is now.
    pub fn open() -> Arc<Self> {
        Arc::new(Self {
            epoch: Timestamp::now(),
            next_sequence: AtomicI64::new(0),
            closed: AtomicBool::new(false),
            excluded: Default::default(),
            sampled_out: AtomicU64::new(0),
            dropped: Default::default(),
            acknowledged: AtomicU64::new(0),
            in_doubt: AtomicU64::new(0),
        })
    }

    /// Start of the process; with the sequence numbers it makes loss visible.
    pub fn epoch(&self) -> Timestamp {
        self.epoch
    }

    /// Enters a request that was just seen.
    pub fn see(self: &Arc<Self>) -> Ticket {
        let sequence = self.next_sequence.fetch_add(1, Ordering::Relaxed);
        Ticket { ledger: Arc::clone(self), sequence, otherwise: Settlement::Dropped(DropReason::Stopped) }
    }

    fn settle(&self, settlement: Settlement) {
        if self.closed.load(Ordering::Acquire) {
            return;
        }
        let counter = match settlement {
            Settlement::Excluded(why) => &self.excluded[why as usize],
            Settlement::SampledOut => &self.sampled_out,
            Settlement::Dropped(why) => &self.dropped[why as usize],
            Settlement::Acknowledged => &self.acknowledged,
            Settlement::InDoubt => &self.in_doubt,
        };
        counter.fetch_add(1, Ordering::Release);
    }

    /// The last word: what has no settlement by now is in doubt, and what comes later changes nothing.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// The account now. It always balances: what was settled is read before what was seen, and a request is seen before it is
    /// settled, so the difference is what was open in between.
    pub fn account(&self) -> Account {
        let read = |counter: &AtomicU64| counter.load(Ordering::Acquire) as i64;
        let closed = self.closed.load(Ordering::Acquire);
        let mut account = Account {
            epoch: self.epoch,
            seen: 0,
            excluded: Exclusion::ALL.iter().map(|&why| (why, read(&self.excluded[why as usize]))).collect(),
            sampled_out: read(&self.sampled_out),
            dropped: DropReason::ALL.iter().map(|&why| (why, read(&self.dropped[why as usize]))).collect(),
            acknowledged: read(&self.acknowledged),
            in_doubt: read(&self.in_doubt),
            in_flight: 0,
        };
        account.seen = self.next_sequence.load(Ordering::Acquire);
        let open = account.seen - account.settled();
        *(if closed { &mut account.in_doubt } else { &mut account.in_flight }) += open;
        account
    }
}

/// One request's place in the account. Dropped unsettled, it counts as [`DropReason::Stopped`], or as in doubt once it was
/// handed to Kafka.
#[derive(Debug)]
#[must_use = "a ticket that is dropped settles as a drop"]
pub struct Ticket {
    ledger: Arc<Ledger>,
    sequence: i64,
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

    /// From here on Kafka may have the record, whatever happens to this ticket.
    pub fn handed_to_kafka(mut self) -> Self {
        self.otherwise = Settlement::InDoubt;
        self
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.ledger.settle(self.otherwise);
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
mod tests {
    use super::*;

    #[test]
    fn a_ticket_settles_exactly_once_whatever_happens_to_it() {
        let ledger = Ledger::open();
        ledger.see().settle(Settlement::Acknowledged);
        ledger.see().dropped(DropReason::QueueFull);
        drop(ledger.see());
        drop(ledger.see().handed_to_kafka());
        ledger.see().handed_to_kafka().dropped(DropReason::DeliveryFailed);
        let held = ledger.see();

        let account = ledger.account();
        assert!(account.balances(), "{account:?}");
        assert_eq!((account.seen, account.in_flight, held.sequence()), (6, 1, 5));
        assert_eq!((account.acknowledged, account.in_doubt), (1, 1));
        for why in [DropReason::QueueFull, DropReason::Stopped, DropReason::DeliveryFailed] {
            assert_eq!(account.dropped_for(why), 1, "{why:?}");
        }
        assert_eq!(account.counters()["dropped.queue_full"], 1);
        assert_eq!(account.counters()["dropped"], 3);
    }

    #[test]
    fn a_reading_balances_while_requests_come_and_go() {
        let ledger = Ledger::open();
        let busy = AtomicBool::new(true);
        std::thread::scope(|scope| {
            for settlement in [Settlement::Acknowledged, Settlement::SampledOut, Settlement::InDoubt] {
                let (ledger, busy) = (&ledger, &busy);
                scope.spawn(move || {
                    while busy.load(Ordering::Relaxed) {
                        ledger.see().settle(settlement);
                    }
                });
            }
            let torn = (0..20_000).map(|_| ledger.account()).find(|a| !a.balances());
            busy.store(false, Ordering::Relaxed);
            assert_eq!(torn, None);
        });
        assert_eq!(ledger.account().in_flight, 0);
    }

    #[test]
    fn what_is_open_when_the_account_closes_is_in_doubt_for_good() {
        let ledger = Ledger::open();
        ledger.see().settle(Settlement::Acknowledged);
        let late = ledger.see().handed_to_kafka();
        ledger.close();
        let last = ledger.account();
        assert_eq!((last.acknowledged, last.in_doubt, last.in_flight), (1, 1, 0));
        late.settle(Settlement::Acknowledged);
        assert_eq!(ledger.account(), last);
    }
}
