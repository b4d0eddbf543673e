//! Targets that are refused and those that are not.

use super::*;
use crate::samples;
use shadow_control::{Change, Control, ControlRecord};

fn upstream(addresses: &[&str]) -> Upstream {
    Upstream {
        service: "shop".parse().unwrap(),
        instance: "a1".to_owned(),
        addresses: addresses.iter().map(|a| (*a).to_owned()).collect(),
        change: Change::by("a1", ""),
    }
}

#[test]
fn a_known_upstream_is_refused_by_name_and_by_address() {
    let table = [
        ("http://shop.internal:8080/", "10.0.0.9", "shop.internal:8080", true),
        ("http://SHOP.internal:8080/", "10.0.0.9", "Shop.Internal:8080", true),
        ("http://shop.internal./", "10.0.0.9", "shop.internal:80", true),
        ("http://alias:8080/", "10.0.0.1", "10.0.0.1:8080", true),
        ("http://alias:8080/", "::ffff:10.0.0.1", "10.0.0.1:8080", true),
        ("http://[::1]:8080/", "::1", "127.0.0.1:8080", true),
        ("http://127.0.0.1:8080/", "127.0.0.1", "0.0.0.0:8080", true),
        ("https://alias/", "10.0.0.1", "10.0.0.1:443", true),
        ("http://alias:8080/", "64:ff9b::a00:1", "10.0.0.1:8080", true),
        ("http://0.0.0.0:8080/", "0.0.0.0", "127.0.0.1:8080", true),
        ("http://alias:8081/", "10.0.0.1", "10.0.0.1:8080", false),
        ("http://alias:8080/", "10.0.0.2", "10.0.0.1:8080", false),
        ("http://alias:8080/", "10.0.0.2", "0.0.0.0:8080", false),
    ];
    for (candidate, ip, address, refused) in table {
        let result = judge(
            &candidate.parse().unwrap(),
            &Lists::default(),
            &[ip.parse().unwrap()],
            [upstream(&["other:1", address])].iter(),
        );
        assert_eq!(matches!(result, Err(Refusal::Upstream { .. })), refused, "{candidate} {ip} {address}");
    }
}

fn lists(allow: &[&str], deny: &[&str]) -> Lists {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    Lists::parse(&texts(allow), &texts(deny)).unwrap()
}

fn judged(target: &str, lists: &Lists, resolved: &[&str]) -> Result<(), Refusal> {
    let resolved: Vec<_> = resolved.iter().map(|ip| ip.parse().unwrap()).collect();
    judge(&target.parse().unwrap(), lists, &resolved, [].iter())
}

#[test]
fn an_allow_list_is_exhaustive_for_every_address() {
    for (allow, resolved, allowed) in [
        ("shadow", &["10.0.0.1"][..], true),
        ("shadow:80", &["10.0.0.1"], true),
        ("shadow:81", &["10.0.0.1"], false),
        ("other", &["10.0.0.1"], false),
        ("10.0.0.0/8", &["10.0.0.1", "::ffff:10.0.0.2"], true),
        ("10.0.0.0/8", &["10.0.0.1", "11.0.0.1"], false),
        ("10.0.0.0/8", &[], false),
        ("10.0.0.1:80", &["10.0.0.1"], true),
        ("10.0.0.1:81", &["10.0.0.1"], false),
    ] {
        let result = judged("http://Shadow/", &lists(&[allow], &[]), resolved);
        assert_eq!(result.is_ok(), allowed, "{allow} {resolved:?}: {result:?}");
    }
}

#[test]
fn what_is_denied_is_refused_whatever_is_allowed_and_by_any_of_its_addresses() {
    for (deny, target, resolved, entry) in [
        ("shadow", "http://shadow/", &["10.0.0.1"][..], Some("shadow")),
        ("shadow:80", "http://shadow/", &["10.0.0.1"], Some("shadow:80")),
        ("shadow:81", "http://shadow/", &["10.0.0.1"], None),
        ("10.0.0.0/8", "http://shadow/", &["11.0.0.1", "::ffff:10.0.0.1"], Some("10.0.0.0/8")),
        ("127.0.0.0/8", "http://0.0.0.0/", &["0.0.0.0"], Some("127.0.0.0/8")),
        ("10.0.0.0/8", "http://[::ffff:10.0.0.1]/", &["::ffff:10.0.0.1"], Some("10.0.0.0/8")),
        ("10.0.0.0/8", "http://shadow/", &["11.0.0.1"], None),
    ] {
        let result = judged(target, &lists(&["shadow", "0.0.0.0/0", "::/0", "127.0.0.1"], &[deny]), resolved);
        let refused = match &result {
            Err(Refusal::Denied { entry, .. }) => Some(entry.as_str()),
            _ => None,
        };
        assert_eq!(refused, entry, "{deny} {target}: {result:?}");
    }
}

#[tokio::test]
async fn addresses_in_the_url_itself_are_judged_too() {
    let state = ControlState::empty();
    for target in ["http://127.0.0.1:1/", "http://[::ffff:127.0.0.1]:1/", "http://0x7f.1:1/", "http://0.0.0.0:1/"] {
        let mut launch = samples::launch(target);
        assert_eq!(prove(&launch, &[], &state).await, Ok(()), "{target}");
        launch.replay.deny = vec!["127.0.0.0/8".to_owned()];
        let denied = prove(&launch, &[], &state).await;
        assert!(matches!(denied, Err(Refusal::Denied { .. })), "{target}: {denied:?}");
    }
}

#[tokio::test]
async fn a_list_that_cannot_be_read_refuses_the_launch() {
    let mut launch = samples::launch("http://127.0.0.1:1/");
    launch.replay.deny = vec!["10.0.0.0/99".to_owned()];
    let refused = prove(&launch, &[], &ControlState::empty()).await.unwrap_err();
    assert!(matches!(refused, Refusal::Entry(_)) && refused.to_string().contains("10.0.0.0/99"), "{refused}");
}

#[tokio::test]
async fn what_cannot_be_shown_to_be_the_shadow_is_refused() {
    let state = ControlState::empty();
    let unresolved = prove(&samples::launch("http://nowhere.invalid/"), &[], &state).await;
    assert!(matches!(unresolved, Err(Refusal::Unresolved { .. })), "{unresolved:?}");
    assert!(matches!(prove(&samples::launch("ftp://shadow/"), &[], &state).await, Err(Refusal::NotHttp(_))));
    assert_eq!(prove(&samples::launch("http://127.0.0.1:1/"), &[], &state).await, Ok(()));
}

#[tokio::test]
async fn a_control_is_held_to_the_same_rules_but_may_be_down() {
    let with_control = |url: &str| {
        let control = Some(Control { url: url.parse().unwrap(), sample: 0.1 });
        Launch { control, ..samples::launch("http://127.0.0.1:1/") }
    };
    let mut state = ControlState::empty();
    assert_eq!(prove(&with_control("http://127.0.0.1:8080/"), &[], &state).await, Ok(()));
    assert_eq!(prove(&with_control("http://nowhere.invalid/"), &[], &state).await, Ok(()));
    let upstream = ControlRecord::Upstream(upstream(&["127.0.0.1:8080"]));
    state.apply(0, &upstream.key(), &upstream.encode()).unwrap();
    let production = prove(&with_control("http://127.0.0.1:8080/"), &[], &state).await;
    assert!(matches!(production, Err(Refusal::Upstream { .. })), "{production:?}");
    let mut listed = with_control("http://127.0.0.1:2/");
    listed.allow = vec!["127.0.0.1:1".to_owned()];
    assert!(matches!(prove(&listed, &[], &state).await, Err(Refusal::NotAllowed { .. })));
}

fn limit(texts: &[&str]) -> Vec<Entry> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[tokio::test]
async fn no_launch_gets_out_of_the_operators_limit() {
    let state = ControlState::empty();
    for (candidate, allowed) in [
        ("http://127.0.0.1:1/", true),
        ("http://[::ffff:127.0.0.1]:1/", true),
        ("http://127.1:1/", true),
        ("http://127.0.0.1:2/", false),
        ("http://10.0.0.1:1/", false),
        ("http://192.0.2.7/", true),
    ] {
        // A launch's own list does not widen it.
        let mut launch = samples::launch(candidate);
        launch.allow = vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()];
        let judged = prove(&launch, &limit(&["127.0.0.1:1", "192.0.2.0/24"]), &state).await;
        match judged {
            Ok(()) => assert!(allowed, "{candidate}"),
            Err(refusal) => {
                assert!(!allowed && matches!(refusal, Refusal::Outside { .. }), "{candidate}: {refusal:?}");
                assert!(refusal.to_string().contains("replay.allow"), "{refusal}");
                assert!(refusal.to_string().contains("127.0.0.1:1, 192.0.2.0/24"), "{refusal}");
            }
        }
    }
    // Nor does it take the place of the launch's own list.
    let narrow = Launch { allow: vec!["192.0.2.7".to_owned()], ..samples::launch("http://127.0.0.1:1/") };
    let refused = prove(&narrow, &limit(&["127.0.0.0/8"]), &state).await;
    assert!(matches!(refused, Err(Refusal::NotAllowed { .. })), "{refused:?}");
}

#[tokio::test]
async fn the_operators_limit_holds_for_a_control_too() {
    let control = Some(Control { url: "http://127.0.0.1:2/".parse().unwrap(), sample: 0.1 });
    let launch = Launch { control, ..samples::launch("http://127.0.0.1:1/") };
    let state = ControlState::empty();
    let refused = prove(&launch, &limit(&["127.0.0.1:1"]), &state).await;
    assert!(matches!(&refused, Err(Refusal::Outside { target, .. }) if target == "127.0.0.1:2"), "{refused:?}");
    assert_eq!(prove(&launch, &limit(&["127.0.0.1"]), &state).await, Ok(()));
}
