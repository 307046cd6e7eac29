//! Where a request really comes from (contract, section 14, 9).

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use ipnet::IpNet;

/// The client's address, `None` when a trusted proxy sent one that cannot be read.
///
/// SECURITY: forwarding headers are read only on connections from a trusted proxy, from right to left, so
/// that whatever a client writes into them stands behind what the proxy saw.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let peer = peer.to_canonical();
    let is_trusted = |ip: &IpAddr| trusted.iter().any(|net| net.contains(ip));
    if !is_trusted(&peer) {
        return Some(peer);
    }
    if headers.contains_key("x-forwarded-for") {
        let mut hops = Vec::new();
        for line in headers.get_all("x-forwarded-for") {
            for hop in line.to_str().ok()?.split(',') {
                hops.push(hop.trim());
            }
        }
        let mut nearest = peer;
        for hop in hops.iter().rev() {
            nearest = parse(hop)?;
            if !is_trusted(&nearest) {
                break;
            }
        }
        return Some(nearest);
    }
    match headers.get("x-real-ip") {
        Some(text) => parse(text.to_str().ok()?.trim()),
        None => Some(peer),
    }
}

fn parse(text: &str) -> Option<IpAddr> {
    let address = text.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn find(peer: &str, headers: &[(&'static str, &str)], trusted: &[&str]) -> Option<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        client_address(peer.parse().unwrap(), &map, &trusted).map(|ip| ip.to_string())
    }

    #[test]
    fn the_table_of_section_14_9() {
        let proxies = ["10.0.0.0/8"];
        let xff = "x-forwarded-for";
        for (peer, headers, expected) in [
            ("192.0.2.1", vec![(xff, "1.2.3.4")], Some("192.0.2.1")),
            ("10.0.0.1", vec![], Some("10.0.0.1")),
            ("10.0.0.1", vec![(xff, "1.2.3.4")], Some("1.2.3.4")),
            ("::ffff:10.0.0.1", vec![(xff, "::ffff:1.2.3.4")], Some("1.2.3.4")),
            ("10.0.0.1", vec![(xff, "6.6.6.6, 1.2.3.4, 10.0.0.2")], Some("1.2.3.4")),
            ("10.0.0.1", vec![(xff, "6.6.6.6"), (xff, "1.2.3.4")], Some("1.2.3.4")),
            ("10.0.0.1", vec![(xff, "10.0.0.3, 10.0.0.2")], Some("10.0.0.3")),
            ("10.0.0.1", vec![(xff, "1.2.3.4:5678")], Some("1.2.3.4")),
            ("10.0.0.1", vec![(xff, "[2001:db8::1]:80")], Some("2001:db8::1")),
            ("10.0.0.1", vec![(xff, "junk")], None),
            ("10.0.0.1", vec![(xff, "1.2.3.4, ")], None),
            ("10.0.0.1", vec![(xff, "junk, 1.2.3.4")], Some("1.2.3.4")),
            ("10.0.0.1", vec![("x-real-ip", "1.2.3.4")], Some("1.2.3.4")),
            ("10.0.0.1", vec![("x-real-ip", "junk")], None),
            ("10.0.0.1", vec![("x-real-ip", "6.6.6.6"), (xff, "1.2.3.4")], Some("1.2.3.4")),
        ] {
            assert_eq!(find(peer, &headers, &proxies).as_deref(), expected, "{peer} {headers:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_moves_an_untrusted_peer(junk in "[0-9a-f.:, ]{0,30}") {
            let found = find("192.0.2.1", &[("x-forwarded-for", &junk)], &["10.0.0.0/8"]);
            prop_assert_eq!(found.as_deref(), Some("192.0.2.1"));
        }

        #[test]
        fn what_the_proxy_saw_wins(junk in "[0-9a-f.:, ]{0,30}") {
            let header = format!("{junk},1.2.3.4");
            let found = find("10.0.0.1", &[("x-forwarded-for", &header)], &["10.0.0.0/8"]);
            prop_assert_eq!(found.as_deref(), Some("1.2.3.4"));
        }
    }
}
