//! A primary that turns out to be the agent itself.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use crate::egress::metric;
use crate::support::{Running, config, run};
use crate::wire::ask;

/// An address of this host that nobody else is given.
fn own_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::new(127, 77, 0, 1), 0)).unwrap().local_addr().unwrap()
}

#[test]
fn a_request_does_not_go_round_when_the_primarys_address_leads_back_to_the_agent() {
    run(async {
        let address = own_address();
        let mut config = config(address, &[]);
        config.listen.address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
        let running = Running::with(config).await;
        let answer = ask(address, b"GET /items/1 HTTP/1.1\r\nHost: shop\r\n\r\n").await;
        assert!(answer.start.starts_with("HTTP/1.1 502 "), "{}", answer.start);
        assert_eq!(metric(&running, "edge_primary_failed_total{reason=\"itself\"}").await, Some(1));
        assert_eq!(running.stop().await.seen, 1, "it was met once");
    });
}
