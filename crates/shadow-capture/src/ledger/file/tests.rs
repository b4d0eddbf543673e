//! Accounts on a real file system.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use super::*;
use crate::ledger::{DropReason, Ended, Exclusion, Ledger, Settlement};

fn label(instance: &str) -> Label {
    Label { service: "shop".into(), instance: instance.into(), brokers: "k:9092".into(), epoch: 1_700_000_000_000_000 }
}

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn given(&self) -> Directory {
        Directory::Given(self.dir.path().to_owned())
    }

    fn ledger(&self, instance: &str) -> Arc<Ledger> {
        let ledger = Ledger::kept(label(instance), &[self.given()]);
        assert!(ledger.path().is_some());
        ledger
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn dead(&self) -> Vec<Estate> {
        take_over(&self.given(), 9, |_, _| true)
    }
}

fn counted(account: &LeftAccount) -> BTreeMap<&str, i64> {
    account.counters.iter().filter(|(_, count)| **count != 0).map(|(name, count)| (name.as_str(), *count)).collect()
}

#[test]
fn the_account_of_an_agent_that_is_gone_is_found_as_it_was_at_its_last_moment() {
    let place = Place::new();
    let ledger = place.ledger("a");
    ledger.see().settle(Settlement::Excluded(Exclusion::Filtered));
    ledger.see().handed_to_kafka().settle(Settlement::Acknowledged);
    ledger.see().dropped(DropReason::QueueFull);
    let open = (ledger.see(), ledger.see().handed_to_kafka(), ledger.see().handed_to_kafka());
    // As a kill does: nothing is dropped, closed or flushed, only the lock is gone.
    let bytes = fs::read(ledger.path().unwrap()).unwrap();
    let copy = place.dir.path().join("killed.account");
    fs::write(&copy, bytes).unwrap();

    let dead = place.dead();
    let [Estate { account, file }] = dead.as_slice() else { panic!("{dead:?}") };
    assert_eq!(
        (account.service.as_str(), account.instance.as_str(), account.brokers.as_str()),
        ("shop", "a", "k:9092")
    );
    assert_eq!((account.epoch, account.ended), (ledger.epoch().micros(), Ended::Killed));
    let expected = [
        ("seen", 6),
        ("excluded", 1),
        ("excluded.filtered", 1),
        ("acknowledged", 1),
        ("dropped", 1),
        ("dropped.queue_full", 1),
        ("in_doubt", 2),
        ("lost_with_agent", 1),
        ("killed", 1),
    ];
    assert_eq!(counted(account), expected.into());
    file.remove().unwrap();
    assert!(!copy.exists());
    drop(open);
}

#[test]
fn a_running_agents_account_is_never_taken_for_a_dead_ones() {
    let place = Place::new();
    let ledger = place.ledger("a");
    ledger.see().settle(Settlement::SampledOut);
    assert!(place.dead().is_empty());
    let found = survey(place.dir.path()).unwrap();
    assert!(found[0].held && found[0].account.as_ref().unwrap().counter("seen") == 1, "{found:?}");
    drop(ledger);
    let taken = place.dead();
    assert_eq!(taken.len(), 1);
    assert!(place.dead().is_empty(), "somebody is settling it");
    assert!(survey(place.dir.path()).unwrap()[0].held);
}

#[test]
fn what_is_no_account_is_set_aside_and_the_others_are_found() {
    let place = Place::new();
    let ledger = place.ledger("a");
    ledger.see().settle(Settlement::SampledOut);
    let whole = fs::read(ledger.path().unwrap()).unwrap();
    drop(ledger);
    let write = |name: &str, bytes: &[u8]| fs::write(place.dir.path().join(name), bytes).unwrap();
    write("empty.account", b"");
    write("garbage.account", &[7; LEN]);
    write("cut.account", &whole[..LEN / 2]);
    write("long.account", &[&whole[..], b"x"].concat());
    let mut later = whole.clone();
    later[8] = 9;
    write("later.account", &later);
    write("somebody-elses.txt", b"");

    assert_eq!(place.dead().len(), 1);
    let aside = ["cut", "empty", "garbage", "long"].map(|name| format!("{name}.unreadable"));
    let mut expected = aside.to_vec();
    expected.extend(["later.account", "shop.a.1700000000000000.account", "somebody-elses.txt"].map(str::to_owned));
    expected.sort();
    assert_eq!(place.names(), expected);
}

#[test]
fn no_more_are_taken_at_once_than_was_asked_for_and_none_that_is_not_wanted() {
    let place = Place::new();
    for instance in ["a", "b", "c", "d"] {
        place.ledger(instance).see().settle(Settlement::SampledOut);
    }
    let taken = take_over(&place.given(), 2, |_, account| account.instance != "b");
    let names: Vec<_> = taken.iter().map(|estate| estate.account.instance.as_str()).collect();
    assert_eq!(names, ["a", "c"]);
}

#[test]
fn agents_of_one_name_that_begin_in_the_same_microsecond_have_epochs_of_their_own() {
    let place = Place::new();
    let (one, two) = (place.ledger("a"), place.ledger("a"));
    assert_ne!(one.epoch(), two.epoch());
    assert_ne!(one.path(), two.path());
}

#[test]
fn an_account_without_a_request_leaves_nothing_behind() {
    let place = Place::new();
    drop(place.ledger("a"));
    assert_eq!(place.names(), Vec::<String>::new());
}

#[test]
fn without_a_directory_that_can_be_used_the_account_is_kept_in_memory() {
    let place = Place::new();
    let occupied = place.dir.path().join("occupied");
    fs::write(&occupied, b"").unwrap();
    let ledger = Ledger::kept(label("a"), &[Directory::Given(occupied)]);
    assert_eq!(ledger.path(), None);
    ledger.see().settle(Settlement::SampledOut);
    assert!(ledger.account().balances());
}

#[test]
fn a_directory_that_others_may_write_to_is_not_used_unless_it_was_asked_for() {
    let place = Place::new();
    let open = place.dir.path().join("shadowline");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let (usual, next) = (Directory::Usual(open.clone()), Directory::Usual(place.dir.path().join("next")));
    let ledger = Ledger::kept(label("a"), &[usual, next]);
    assert!(ledger.path().unwrap().starts_with(place.dir.path().join("next")));
    assert!(Ledger::kept(label("a"), &[Directory::Given(open)]).path().is_some());
}

/// A mount of its own, so only where the test may make one: it says so when it may not.
#[test]
fn a_full_disk_is_found_out_at_the_start_and_never_later() {
    let place = Place::new();
    let mount = |args: &[&str]| std::process::Command::new(args[0]).args(&args[1..]).arg(place.dir.path()).output();
    let mounted = mount(&["mount", "-t", "tmpfs", "-o", "size=12k", "tmpfs"]);
    if !mounted.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: this user may not mount a tmpfs, so no disk can be filled");
        return;
    }
    let kept: Vec<_> = (0..9).map(|n| Ledger::kept(label(&format!("a{n}")), &[place.given()])).collect();
    let in_files = kept.iter().filter(|ledger| ledger.path().is_some()).count();
    // Whatever was promised a file can be counted in it although nothing more fits the disk.
    for ledger in &kept {
        for settlement in Settlement::all() {
            ledger.see().settle(settlement);
        }
        assert!(ledger.account().balances());
    }
    let files = place.names().len();
    drop(kept);
    let unmounted = mount(&["umount"]).unwrap();
    assert!(unmounted.status.success(), "{unmounted:?}");
    assert_eq!(in_files, files, "nothing is left of those that did not fit");
    assert!((1..9).contains(&in_files), "{in_files} of 9 accounts fit 12 KiB");
}
