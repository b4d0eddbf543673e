//! Headers by the table, and whatever else a stranger may send.

use proptest::prelude::*;
use tokio::io::AsyncWriteExt as _;

use super::*;
use crate::edge::tls::tests::sockets;

const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn ends(peer: &str, local: &str) -> Option<Ends> {
    Some(Ends { peer: peer.parse().unwrap(), local: local.parse().unwrap() })
}

/// A binary header: command, family, length as told, block.
fn binary(command: u8, family: u8, len: u16, block: &[u8]) -> Vec<u8> {
    [BINARY, &[command, family], &len.to_be_bytes(), block].concat()
}

#[test]
fn lines_are_read_as_the_specification_has_them() {
    for (line, expected) in [
        ("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n", ends("192.0.2.1:56324", "198.51.100.2:443")),
        ("PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", ends("0.0.0.0:0", "255.255.255.255:65535")),
        ("PROXY TCP6 2001:db8::1 ::1 4124 443\r\n", ends("[2001:db8::1]:4124", "[::1]:443")),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN whatever stands here\r\n", None),
        (
            "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
            ends("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
        ),
    ] {
        let len = line.len();
        for rest in ["", "G", "GET / HTTP/1.1\r\n\r\n"] {
            let bytes = format!("{line}{rest}");
            assert_eq!(parse(bytes.as_bytes()), Parsed::Header { ends: expected, len }, "{line:?}");
        }
    }
}

#[test]
fn the_longest_line_is_taken_and_one_byte_more_is_not() {
    let line = |len: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(len - "PROXY UNKNOWN \r\n".len()));
    assert_eq!(parse(line(MAX_LINE).as_bytes()), Parsed::Header { ends: None, len: MAX_LINE });
    assert!(matches!(parse(line(MAX_LINE + 1).as_bytes()), Parsed::Invalid(_)));
    assert_eq!(parse(line(MAX_LINE + 2).as_bytes()), Parsed::Invalid(Fault::LongLine));
}

#[test]
fn lines_that_are_not_quite_right_are_refused() {
    for line in [
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 1\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 \r\n",
        "PROXY TCP4  192.0.2.1 198.51.100.2 56324 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 +1 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 01 443\r\n",
        "PROXY TCP4 192.0.2.01 198.51.100.2 1 443\r\n",
        "PROXY TCP4 ::1 ::1 1 443\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.2 1 443\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.2 1 443\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\r\n",
    ] {
        assert_eq!(parse(line.as_bytes()), Parsed::Invalid(Fault::Line), "{line:?}");
    }
    for start in ["proxy TCP4", "PROXYTCP4", "GET / HTTP/1.1\r\n", "\x16\x03\x01", "\r\n\r\n\0\r\nQUIT\r"] {
        assert_eq!(parse(start.as_bytes()), Parsed::Invalid(Fault::Missing), "{start:?}");
    }
}

#[test]
fn binary_headers_are_read_as_the_specification_has_them() {
    let ipv4 = [192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 0x04, 0x01, 0xbb];
    let mut ipv6 = [0; 36];
    (ipv6[0], ipv6[15], ipv6[31], ipv6[33], ipv6[35]) = (0x20, 1, 2, 80, 81);
    let additions = [&ipv4[..], &[0x04, 0, 2, 0xaa, 0xbb, 0x20, 0xff]].concat();
    for (header, expected) in [
        (binary(0x21, 0x11, 12, &ipv4), ends("192.0.2.1:56324", "198.51.100.2:443")),
        (binary(0x21, 0x11, 19, &additions), ends("192.0.2.1:56324", "198.51.100.2:443")),
        (binary(0x21, 0x21, 36, &ipv6), ends("[2000::1]:80", "[::2]:81")),
        (binary(0x20, 0x00, 0, &[]), None),
        (binary(0x20, 0x11, 12, &ipv4), None),
        (binary(0x20, 0xff, 3, b"abc"), None),
        (binary(0x21, 0x00, 0, &[]), None),
        (binary(0x21, 0x00, 2, b"ab"), None),
        (binary(0x21, 0x12, 12, &ipv4), None),
        (binary(0x21, 0x31, 216, &[b'/'; 216]), None),
        (binary(0x21, 0x00, (MAX_HEADER - FIXED) as u16, &[0; MAX_HEADER - FIXED]), None),
    ] {
        let len = header.len();
        for rest in [&b""[..], b"\0", b"GET / HTTP/1.1\r\n\r\n"] {
            assert_eq!(parse(&[&header, rest].concat()), Parsed::Header { ends: expected, len }, "{header:?}");
        }
    }
}

#[test]
fn binary_headers_that_are_not_quite_right_are_refused_as_soon_as_that_is_known() {
    for (command, family, len, fault) in [
        (0x11, 0x11, 12, Fault::Binary),
        (0x31, 0x11, 12, Fault::Binary),
        (0x22, 0x11, 12, Fault::Binary),
        (0x21, 0x13, 12, Fault::Binary),
        (0x21, 0x41, 12, Fault::Binary),
        (0x21, 0x11, 11, Fault::Binary),
        (0x21, 0x21, 35, Fault::Binary),
        (0x21, 0x31, 215, Fault::Binary),
        (0x21, 0x11, (MAX_HEADER - FIXED + 1) as u16, Fault::LongBinary),
        (0x20, 0x00, u16::MAX, Fault::LongBinary),
    ] {
        assert_eq!(parse(&binary(command, family, len, &[])), Parsed::Invalid(fault), "{command} {family} {len}");
    }
}

#[test]
fn ends_of_different_families_are_told_as_ipv6() {
    let told = |version, peer: &str, local: &str| {
        let header = encode(version, ends(peer, local).unwrap());
        match parse(&header) {
            Parsed::Header { ends: Some(ends), len } if len == header.len() => (ends.peer, ends.local),
            other => panic!("{other:?}"),
        }
    };
    for version in [Version::V1, Version::V2] {
        let mapped = told(version, "[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.2]:2");
        assert_eq!(mapped, ("192.0.2.1:1".parse().unwrap(), "192.0.2.2:2".parse().unwrap()));
        let mixed = told(version, "192.0.2.1:1", "[2001:db8::1]:2");
        assert_eq!(mixed, ("[::ffff:192.0.2.1]:1".parse().unwrap(), "[2001:db8::1]:2".parse().unwrap()));
    }
}

/// Anything, also what begins like a header.
fn stranger() -> impl Strategy<Value = Vec<u8>> {
    let start = prop_oneof![
        Just(Vec::new()),
        Just(b"PROXY ".to_vec()),
        Just(b"PROXY TCP4 ".to_vec()),
        Just(b"PROXY UNKNOWN".to_vec()),
        Just(BINARY.to_vec()),
        (0x1f..0x23_u8, any::<u8>(), 0..80_u16).prop_map(|(command, family, len)| binary(command, family, len, &[])),
    ];
    let rest = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..160),
        "[0-9a-f.: \r\n]{0,120}".prop_map(String::into_bytes),
    ];
    (start, rest).prop_map(|(start, rest)| [start, rest].concat())
}

/// Ends of one family, as a header has them.
fn clients() -> impl Strategy<Value = Ends> {
    // An IPv4 address within IPv6 is told as what it is.
    let ipv6 = || any::<Ipv6Addr>().prop_map(|ip| if ip.to_ipv4_mapped().is_some() { Ipv6Addr::LOCALHOST } else { ip });
    let pair = prop_oneof![
        any::<(Ipv4Addr, Ipv4Addr)>().prop_map(|(a, b)| (IpAddr::V4(a), IpAddr::V4(b))),
        (ipv6(), ipv6()).prop_map(|(a, b)| (IpAddr::V6(a), IpAddr::V6(b))),
    ];
    (pair, any::<(u16, u16)>())
        .prop_map(|((a, b), (from, to))| Ends { peer: SocketAddr::new(a, from), local: SocketAddr::new(b, to) })
}

proptest! {
    #[test]
    fn what_is_read_of_a_stream_does_not_depend_on_how_it_arrives(bytes in stranger()) {
        let whole = parse(&bytes);
        for cut in 0..bytes.len() {
            match (parse(&bytes[..cut]), &whole) {
                // All of it belongs to the header, so the header is no shorter.
                (Parsed::Incomplete, Parsed::Header { len, .. }) => prop_assert!(*len > cut),
                (Parsed::Incomplete, _) => {}
                (early, whole) => prop_assert_eq!(&early, whole),
            }
        }
        if let Parsed::Header { len, .. } = whole {
            prop_assert!(len <= bytes.len());
        }
    }

    #[test]
    fn what_is_written_is_read_again(client in clients(), version in prop_oneof![Just(Version::V1), Just(Version::V2)]) {
        let header = encode(version, client);
        for cut in 0..header.len() {
            prop_assert_eq!(parse(&header[..cut]), Parsed::Incomplete);
        }
        let expected = Parsed::Header { ends: Some(client), len: header.len() };
        prop_assert_eq!(parse(&header), expected);
    }
}

#[tokio::test]
async fn the_header_is_taken_and_the_request_left() {
    let long = binary(0x21, 0x00, 1000, &[7; 1000]);
    for header in [&b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"[..], &binary(0x20, 0, 0, &[]), &long] {
        // At once, and in two parts wherever they may be cut.
        for cut in [0, 1, 7, header.len() - 1, header.len()] {
            let (mut near, mut far) = sockets().await;
            near.write_all(&header[..cut]).await.unwrap();
            let rest = async {
                // The reader has had its look at the first part when this runs, or not: both must do.
                tokio::task::yield_now().await;
                near.write_all(&header[cut..]).await.unwrap();
                near.write_all(b"GET /").await.unwrap();
                near.shutdown().await.unwrap();
            };
            let (taken, ()) = tokio::join!(read(&mut far), rest);
            taken.unwrap();
            let mut left = Vec::new();
            far.read_to_end(&mut left).await.unwrap();
            assert_eq!(left, b"GET /");
        }
    }
}

#[tokio::test]
async fn a_connection_that_ends_within_its_header_is_broken() {
    for part in [&b""[..], b"PROXY TCP4 192", BINARY] {
        let (mut near, mut far) = sockets().await;
        near.write_all(part).await.unwrap();
        drop(near);
        assert!(matches!(read(&mut far).await, Err(ReadError::Broken(_))));
    }
}
