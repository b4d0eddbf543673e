//! Addresses that lead back, and those that do not.

use std::net::TcpListener;

use super::*;

#[test]
fn a_connection_leads_back_by_the_listeners_own_address_and_by_any_of_its_hosts() {
    for (listener, peer, local, own) in [
        ("127.0.0.1:80", "127.0.0.1:80", "127.0.0.1", true),
        ("127.0.0.1:80", "127.0.0.1:81", "127.0.0.1", false),
        ("127.0.0.1:80", "127.0.0.2:80", "127.0.0.1", false),
        ("10.0.0.1:80", "10.0.0.1:80", "10.0.0.1", true),
        ("10.0.0.1:80", "127.0.0.1:80", "127.0.0.1", false),
        ("0.0.0.0:80", "10.0.0.1:80", "10.0.0.1", true),
        ("0.0.0.0:80", "127.0.0.2:80", "127.0.0.1", true),
        ("0.0.0.0:80", "10.0.0.2:80", "10.0.0.1", false),
        ("0.0.0.0:80", "[::1]:80", "::1", false),
        ("[::]:80", "10.0.0.1:80", "10.0.0.1", true),
        ("[::]:80", "[fd00::1]:80", "fd00::1", true),
        ("[::]:80", "[::ffff:10.0.0.1]:80", "::ffff:10.0.0.1", true),
        ("[::]:80", "[fd00::2]:80", "fd00::1", false),
    ] {
        let told = is_between(listener.parse().unwrap(), peer.parse().unwrap(), local.parse().unwrap());
        assert_eq!(told, own, "{listener} {peer} from {local}");
    }
}

#[test]
fn addresses_are_judged_before_they_are_connected_to() {
    for (listener, address, own) in [
        ("127.0.0.1:80", "127.0.0.1:80", true),
        ("127.0.0.1:80", "0.0.0.0:80", true),
        ("0.0.0.0:80", "127.0.0.3:80", true),
        ("0.0.0.0:80", "0.0.0.0:80", true),
        ("[::]:80", "127.0.0.1:80", true),
        ("0.0.0.0:80", "192.0.2.1:80", false),
        ("127.0.0.1:80", "127.0.0.1:81", false),
        ("0.0.0.0:0", "127.0.0.1:0", false),
    ] {
        assert_eq!(leads_to(listener.parse().unwrap(), address.parse().unwrap()), own, "{listener} {address}");
    }
}

#[test]
fn names_of_this_host_are_known_without_a_resolver_and_others_are_not() {
    let both = ["127.0.0.1", "::1"].map(|ip| ip.parse::<IpAddr>().unwrap());
    for (host, known) in [
        ("localhost", &both[..]),
        ("LocalHost.", &both),
        ("shop.localhost", &[]),
        ("127.0.0.1", &both[..1]),
        ("::1", &both[1..]),
        ("shop.internal", &[]),
        ("notlocalhost", &[]),
    ] {
        assert_eq!(known_addresses(host), known, "{host}");
    }
}

#[tokio::test]
async fn every_listener_is_known_once_it_is_there() {
    let [clients, calls, admin, other] = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let at = |listener: &TcpListener| listener.local_addr().unwrap();
    let own = Own::new([at(&clients), at(&calls)]);
    own.clone().keep_from(at(&admin));
    for (listener, known) in [(&clients, true), (&calls, true), (&admin, true), (&other, false)] {
        let socket = TcpStream::connect(at(listener)).await.unwrap();
        assert_eq!(own.reached(at(listener), &socket), known.then(|| at(listener)));
    }
}
