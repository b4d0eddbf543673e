use std::collections::HashMap;

use tokio::net::TcpListener;

use super::*;
use crate::{Build, ROUTES, Shop, seeded};

fn plan() -> Vec<Planned> {
    (0..2_000).map(|index| planned(Load::SEED, index)).collect()
}

#[test]
fn two_thousand_requests_meet_every_route_and_every_regression_several_times() {
    let table = shadow_record::RouteTable::parse(ROUTES).unwrap();
    let mut routes: HashMap<String, u32> = HashMap::new();
    let (mut unknown, mut odd_carts, mut percent, mut gifts, mut dollars) = (0, 0, 0, 0, 0);
    for request in plan() {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        *routes.entry(table.name(request.method.as_str(), path)).or_default() += 1;
        let number = |prefix| path.strip_prefix(prefix).and_then(|id| id.parse::<u32>().ok());
        unknown += u32::from(number("/products/").is_some_and(|id| id > crate::stock::PRODUCTS));
        odd_carts += u32::from(number("/carts/").is_some_and(|id| id % 50 == 7));
        percent += u32::from(query.contains("%25"));
        let body = request.body.as_deref().unwrap_or_default();
        gifts += u32::from(body.contains(r#""gift":true"#));
        dollars += u32::from(body.contains("USD"));
    }
    assert_eq!(routes.len(), ROUTES.len(), "{routes:?}");
    for route in ROUTES {
        assert!(routes[*route] >= 20, "{route}: {routes:?}");
    }
    assert!(unknown >= 5 && odd_carts >= 5 && percent >= 5, "{unknown} {odd_carts} {percent}");
    assert!(gifts >= 10 && dollars >= 20, "{gifts} {dollars}");
    assert!(seeded().iter().all(|fault| routes.contains_key(fault.route)));
}

#[test]
fn the_plan_depends_on_the_seed_and_on_nothing_else() {
    assert_eq!(plan(), plan());
    assert_ne!(planned(1, 0), planned(2, 0));
    let repeated =
        plan().windows(2).filter(|pair| (&pair[0].path, &pair[0].body) == (&pair[1].path, &pair[1].body)).count();
    assert!(repeated < 20, "{repeated}");
}

#[test]
fn only_a_plain_http_origin_is_a_target() {
    for bad in ["", "127.0.0.1:80", "https://shop.example", "http://shop.example/path", "http://"] {
        let error = Load::new(bad).unwrap_err().to_string();
        assert!(error.contains("http://HOST:PORT"), "{error}");
    }
}

#[tokio::test]
async fn every_request_is_sent_answered_and_reported_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut load = Load::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let stop = CancellationToken::new();
    let shop = tokio::spawn(Shop::new(Build::Primary).serve(listener, stop.clone()));
    (load.requests, load.rate) = (300, NonZeroU32::MAX);
    let mut seen = Vec::new();
    let report = load.run(CancellationToken::new(), |progress| seen.push(progress.finished)).await;
    assert_eq!((report.sent, report.succeeded, report.failed), (300, 300, 0), "{report:?}");
    assert_eq!(seen, (1..=300).collect::<Vec<_>>());
    assert_eq!(report.statuses.keys().copied().collect::<Vec<_>>(), [200, 201, 404]);
    stop.cancel();
    shop.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_shop_that_is_not_there_shows_as_failures_with_their_cause() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut load = Load::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    (load.requests, load.rate) = (5, NonZeroU32::MAX);
    let report = load.run(CancellationToken::new(), |_| {}).await;
    assert_eq!((report.sent, report.failed), (5, 5));
    assert!(report.first_failure.unwrap().contains("refused"));
}

#[tokio::test]
async fn the_load_ends_when_it_is_told_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let load = Load::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let stop = CancellationToken::new();
    stop.cancel();
    assert_eq!(load.run(stop, |_| {}).await.sent, 0);
}
