//! The account in memory.

use std::sync::atomic::AtomicBool;

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

#[test]
fn what_was_not_handed_to_kafka_when_the_account_closes_was_dropped_by_the_stop() {
    let ledger = Ledger::open();
    let (_here, _handed) = (ledger.see(), ledger.see().handed_to_kafka());
    ledger.close();
    let last = ledger.account();
    assert_eq!((last.dropped_for(DropReason::Stopped), last.in_doubt, last.in_flight), (1, 1, 0), "{last:?}");
    assert!(last.balances());
}

#[test]
fn what_kafka_may_have_is_settled_by_kafkas_word_only() {
    let ledger = Ledger::open();
    ledger.see().handed_to_kafka().settle(Settlement::SampledOut);
    let account = ledger.account();
    assert_eq!((account.sampled_out, account.in_doubt, account.in_flight), (0, 1, 0));
}

#[test]
fn every_counter_has_a_slot_of_its_own() {
    let mut slots: Vec<_> = Settlement::all().map(Settlement::slot).chain([SEEN, HANDED, CLOSED]).collect();
    slots.sort_unstable();
    assert_eq!(slots, (0..counters().len()).collect::<Vec<_>>());
    for settlement in Settlement::all() {
        assert_eq!(counters()[settlement.slot()], (settlement.kind(), settlement.name()));
    }
}
