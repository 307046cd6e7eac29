//! Every outgoing call: https to public addresses, resolved once, small and soon over, never redirected. What the
//! operator has named in the settings is called in `egress/own.rs`, wherever that is.
//!
//! SECURITY: whoever may name an issuer would otherwise reach what only this host can reach: metadata services,
//! neighbours, this server itself.

pub mod collector;
pub mod own;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::{Ipv4Net, Ipv6Net};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::ACCEPT;
use reqwest::{Client, Url, redirect};

/// For name, connection, TLS and answer together.
pub const TIME_MAX: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
const URL_BYTES_MAX: usize = 2048;

/// The way out.
#[derive(Debug, Clone)]
pub struct Egress {
    reach: Reach,
}

/// How far calls may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// https to public addresses.
    Public,
    /// Also http, and to any address: for issuers of one's own.
    Anywhere,
}

/// Why a call was not made, or came to nothing. Names no address, so that nobody maps a network with it.
pub type Refused = &'static str;

impl Egress {
    pub fn new(reach: Reach) -> Self {
        Self { reach }
    }

    /// Whether a URL may be called at all, as far as its text tells.
    pub fn check(&self, text: &str) -> Result<Url, Refused> {
        if text.len() > URL_BYTES_MAX {
            return Err("is longer than 2048 bytes");
        }
        let url = Url::parse(text).map_err(|_| "is no URL")?;
        match url.scheme() {
            "https" => {}
            "http" if self.reach == Reach::Anywhere => {}
            _ => return Err("must begin with `https://`"),
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err("must have neither credentials nor a fragment");
        }
        let literal = url.host_str().and_then(literal);
        match (self.reach, literal) {
            (Reach::Public, Some(address)) if !is_public(address) => Err("names no public address"),
            _ => Ok(url),
        }
    }

    /// The body that a URL answers with 200.
    pub async fn get(&self, text: &str) -> Result<Vec<u8>, Refused> {
        let url = self.check(text)?;
        match tokio::time::timeout(TIME_MAX, self.fetch(url)).await {
            Ok(fetched) => fetched,
            Err(_) => Err("did not answer in 5 seconds"),
        }
    }

    async fn fetch(&self, url: Url) -> Result<Vec<u8>, Refused> {
        let host = url.host_str().ok_or("has no host")?.to_owned();
        let addresses = self.resolve(&url, &host).await?;
        let client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .https_only(self.reach == Reach::Public)
            .timeout(TIME_MAX)
            // SECURITY: the addresses that were looked at are the ones that are called, whatever the name.
            .dns_resolver(Arc::new(Pinned(addresses)))
            .build()
            .map_err(|_| "cannot be called: no TLS")?;
        let request = client.get(url).header(ACCEPT, "application/json");
        let mut answer = request.send().await.map_err(|_| "cannot be reached")?;
        // The number: status codes of ours have another home.
        if answer.status().as_u16() != 200 {
            return Err("does not answer 200");
        }
        let announced = answer.content_length().unwrap_or_default();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|_| "broke off")? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_BYTES_MAX || announced > ANSWER_BYTES_MAX as u64 {
                return Err("answers more than 1 MiB");
            }
        }
        Ok(body)
    }

    /// The addresses of a host, every one of which may be called: a name that also points inside is no accident.
    async fn resolve(&self, url: &Url, host: &str) -> Result<Vec<SocketAddr>, Refused> {
        let port = url.port_or_known_default().ok_or("has no port")?;
        let addresses: Vec<SocketAddr> = match literal(host) {
            Some(address) => vec![SocketAddr::new(address, port)],
            None => {
                tokio::net::lookup_host((host, port)).await.map_err(|_| "is not known")?.collect()
            }
        };
        if addresses.is_empty() {
            return Err("is not known");
        }
        let all_public = addresses.iter().all(|address| is_public(address.ip()));
        match all_public || self.reach == Reach::Anywhere {
            true => Ok(addresses),
            false => Err("has no public address"),
        }
    }
}

/// Knows one answer for every name.
struct Pinned(Vec<SocketAddr>);

impl Resolve for Pinned {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses: Addrs = Box::new(self.0.clone().into_iter());
        Box::pin(async { Ok(addresses) })
    }
}

/// An address that stands in the place of a host's name; IPv6 in brackets.
fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Whether an address is one of the public Internet's, by IANA's registries of special addresses.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// RFC 6890 and its successors: this network, private, shared (CGNAT), loopback, link-local, protocol
/// assignments, documentation, 6to4 relays, benchmarks, multicast, reserved, broadcast.
const SPECIAL_V4: [(Ipv4Addr, u8); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Within 2000::/3, the only global unicast there is: protocol assignments with Teredo and ORCHID, documentation,
/// and 6to4, whose addresses are IPv4 ones in disguise.
const SPECIAL_V6: [(Ipv6Addr, u8); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

fn is_public_v4(address: Ipv4Addr) -> bool {
    let special = |(net, bits): &(Ipv4Addr, u8)| {
        Ipv4Net::new(*net, *bits).is_ok_and(|net| net.contains(&address))
    };
    !SPECIAL_V4.iter().any(special)
}

/// Everything outside of 2000::/3 is refused: loopback, mapped and translated IPv4 (NAT64 among it), unique local,
/// link-local, site-local, multicast.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let within =
        |net: Ipv6Addr, bits| Ipv6Net::new(net, bits).is_ok_and(|net| net.contains(&address));
    within(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3)
        && !SPECIAL_V6.iter().any(|(net, bits)| within(*net, *bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_public() {
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450:4001::1",
            "2001:4860:4860::8888",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for special in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.0.170",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:1ff::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:808:808::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(special.parse().unwrap()), "{special}");
        }
    }

    #[test]
    fn urls_are_looked_at_before_they_are_called() {
        let (public, anywhere) = (Egress::new(Reach::Public), Egress::new(Reach::Anywhere));
        for (url, for_public, for_anywhere) in [
            ("https://example.com/keys", true, true),
            ("https://example.com:8443/keys?a=b", true, true),
            ("https://1.1.1.1/", true, true),
            ("http://example.com/", false, true),
            ("http://127.0.0.1:1/", false, true),
            ("https://127.0.0.1/", false, true),
            ("https://0x7f.1/", false, true),
            ("https://2130706433/", false, true),
            ("https://0177.0.0.1/", false, true),
            ("https://[::1]/", false, true),
            ("https://[::ffff:10.0.0.1]/", false, true),
            ("https://[2606:4700::1111]/", true, true),
            ("https://169.254.169.254/latest/meta-data", false, true),
            ("https://a:b@example.com/", false, false),
            ("https://a@example.com/", false, false),
            ("https://example.com/#x", false, false),
            ("file:///etc/passwd", false, false),
            ("ftp://example.com/", false, false),
            ("gopher://example.com/", false, false),
            ("data:text/plain,x", false, false),
            ("example.com", false, false),
            ("https://", false, false),
            ("", false, false),
        ] {
            assert_eq!(public.check(url).is_ok(), for_public, "{url}");
            assert_eq!(anywhere.check(url).is_ok(), for_anywhere, "{url}");
        }
        let long = format!("https://example.com/{}", "x".repeat(URL_BYTES_MAX));
        assert!(public.check(&long).is_err());
    }

    #[tokio::test]
    async fn a_name_that_points_inside_is_not_called() {
        let egress = Egress::new(Reach::Public);
        // Whatever the resolver of this machine says of it, it is no public address.
        let refused = egress.get("https://localhost/keys").await.unwrap_err();
        assert!(["has no public address", "is not known"].contains(&refused), "{refused}");
    }
}
