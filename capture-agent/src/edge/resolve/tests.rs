//! Resolvers that answer, fail and hang.

use std::collections::VecDeque;
use std::future::{pending, ready};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt as _;

use super::*;

/// A host whose resolver gives these answers and then hangs, and how often it was asked.
fn host(answers: Vec<io::Result<Vec<SocketAddr>>>) -> (Arc<Host>, Arc<AtomicUsize>) {
    let (answers, asked) = (Mutex::new(VecDeque::from(answers)), Arc::new(AtomicUsize::new(0)));
    let count = asked.clone();
    let host = Host::resolved_by("shop.test", move || {
        count.fetch_add(1, Ordering::Relaxed);
        answers.lock().unwrap().pop_front().map_or_else(|| pending().boxed(), |answer| ready(answer).boxed())
    });
    (Arc::new(host), asked)
}

fn at(last: u8) -> Vec<SocketAddr> {
    vec![SocketAddr::from(([192, 0, 2, last], 7))]
}

/// The background lookup is over.
async fn answered(host: &Host) {
    host.known.subscribe().wait_for(|known| !known.asking).await.unwrap();
}

#[tokio::test]
async fn an_address_is_never_looked_up() {
    for (host, address) in [("127.0.0.1", "127.0.0.1:7"), ("::1", "[::1]:7")] {
        let primary = Arc::new(Host::new(host, 7));
        primary.doubt();
        assert_eq!(*primary.addresses().await.unwrap(), [address.parse().unwrap()]);
        assert!(!primary.known.borrow().asking);
    }
}

#[tokio::test]
async fn a_name_is_looked_up_by_the_system() {
    let found = Arc::new(Host::new("localhost", 7)).addresses().await.unwrap();
    assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 7), "{found:?}");
}

#[tokio::test]
async fn a_name_that_never_resolved_is_an_error() {
    // An empty label is no host name, so the resolver refuses it without asking anyone.
    assert!(Arc::new(Host::new("..", 7)).addresses().await.is_err());
    let (nowhere, asked) = host(vec![Ok(Vec::new()), Ok(at(1))]);
    assert!(nowhere.addresses().await.is_err());
    assert_eq!(nowhere.addresses().await.unwrap()[..], at(1));
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_name_that_no_longer_resolves_keeps_its_last_addresses() {
    let (primary, asked) = host(vec![Ok(at(1)), Err(io::ErrorKind::NotFound.into()), Ok(Vec::new())]);
    for times in 1..=3 {
        assert_eq!(primary.addresses().await.unwrap()[..], at(1));
        answered(&primary).await;
        assert_eq!(asked.load(Ordering::Relaxed), times);
        primary.doubt();
    }
}

#[tokio::test]
async fn a_resolver_that_hangs_is_asked_once_and_keeps_nobody_from_the_known_addresses() {
    let (primary, asked) = host(vec![Ok(at(1))]);
    primary.addresses().await.unwrap();
    for _ in 0..3 {
        primary.doubt();
        assert_eq!(primary.addresses().now_or_never().unwrap().unwrap()[..], at(1));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn new_addresses_are_used_as_soon_as_they_are_known() {
    let (primary, _) = host(vec![Ok(at(1)), Ok(at(2))]);
    primary.addresses().await.unwrap();
    primary.doubt();
    assert_eq!(primary.addresses().await.unwrap()[..], at(1));
    answered(&primary).await;
    assert_eq!(primary.addresses().await.unwrap()[..], at(2));
}

#[tokio::test]
async fn all_who_know_nothing_wait_for_one_lookup_and_giving_up_does_not_end_it() {
    let (primary, asked) = host(vec![Ok(at(1))]);
    assert!(primary.addresses().now_or_never().is_none());
    let (one, other) = tokio::join!(primary.addresses(), primary.addresses());
    assert_eq!(one.unwrap(), other.unwrap());
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[test]
fn a_runtime_that_ends_during_a_lookup_lets_another_ask_again() {
    let (primary, asked) = host(Vec::new());
    for times in 1..=2 {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert!(runtime.block_on(async { primary.addresses().now_or_never() }).is_none());
        assert_eq!(asked.load(Ordering::Relaxed), times);
    }
}
