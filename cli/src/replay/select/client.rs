//! The client of a request, from what a log says of it.
//!
//! # Lists
//!
//! Proxies append to a list: `client, proxy, proxy`. Only its right end is trustworthy, because a
//! client may send a list of its own, which the first proxy continues. So the client is not the
//! first of a list, or an attacker would choose a new one with every request. With `--trusted-hops
//! N` the last N are proxies, and the client is the one before them, or the first if there are no
//! more. Without it, the entries at the right end that are addresses of internal networks (private,
//! shared, link-local or loopback) are taken for proxies. The client is the last entry that is not
//! such an address, or the first of all if every entry is. Where requests come through a proxy with
//! a public address, a content delivery network for instance, that proxy is then the client, and
//! `--trusted-hops` is needed.

use std::io::Write;
use std::net::IpAddr;

use memchr::memchr;

use super::super::entry::{Entry, Reason};
use super::address::{self, is_inside, masked};

/// Which field of a line holds the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ClientField {
    /// The peer of the connection, which is the log's first field in most formats
    #[default]
    Peer,
    /// What a proxy says: the X-Forwarded-For field. A request without one has no client
    Forwarded,
}

/// The rule by which the client of a request is found in its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientRule {
    pub(crate) field: ClientField,
    /// The number of a list's last entries that are proxies. With `None`, those on internal
    /// networks are.
    pub(crate) trusted_hops: Option<u32>,
    /// The number of bits of an IPv6 address that identify a client, at most 128.
    pub(crate) ipv6_prefix: u8,
}

impl Default for ClientRule {
    fn default() -> Self {
        Self { field: ClientField::Peer, trusted_hops: None, ipv6_prefix: 64 }
    }
}

/// A client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client<'a> {
    Address(IpAddr),
    /// The name of a host, or another name without blanks.
    Name(&'a [u8]),
}

impl ClientRule {
    /// Returns the client of a line, or `None` if the line names none.
    ///
    /// # Errors
    ///
    /// Fails for a name with a blank or a control character in it, which is no name.
    #[inline]
    pub(super) fn client<'a>(&self, entry: &'a Entry<'_>) -> Result<Option<Client<'a>>, Reason> {
        let text: &[u8] = match self.field {
            ClientField::Peer => &entry.client,
            ClientField::Forwarded => &entry.forwarded,
        };
        // Nearly every line of nearly every log has a plain IPv4 address.
        if let Some(address) = address::v4(text) {
            return Ok(Some(Client::Address(IpAddr::V4(address))));
        }
        let text = match memchr(b',', text) {
            None => text,
            Some(_) => self.of_list(text),
        };
        let text = text.trim_ascii();
        if text.is_empty() || text == b"-" || text.eq_ignore_ascii_case(b"unknown") {
            return Ok(None);
        }
        match address::address(text) {
            Some(address) => Ok(Some(Client::Address(address))),
            None => name(text).map(Some),
        }
    }

    /// Returns the entry of a list that is the client.
    fn of_list<'a>(&self, list: &'a [u8]) -> &'a [u8] {
        let mut hops = list.rsplit(|&byte| byte == b',').map(<[u8]>::trim_ascii);
        let first = list.split(|&byte| byte == b',').next().unwrap_or(list);
        let client = match self.trusted_hops {
            Some(trusted) => hops.nth(trusted as usize),
            None => hops.find(|hop| !address::address(hop).is_some_and(is_inside)),
        };
        client.unwrap_or(first)
    }

    /// Appends the key of a client: an IPv4 address, an IPv6 network, or a name in lower case.
    #[inline]
    pub(super) fn write(&self, client: Client<'_>, key: &mut Vec<u8>) {
        match client {
            Client::Address(IpAddr::V4(address)) => {
                for (place, octet) in address.octets().into_iter().enumerate() {
                    if place > 0 {
                        key.push(b'.');
                    }
                    decimal(octet, key);
                }
            }
            Client::Address(IpAddr::V6(address)) => {
                let network = masked(address, self.ipv6_prefix);
                // Writing into a vector does not fail.
                _ = write!(key, "{network}");
                if self.ipv6_prefix < 128 {
                    _ = write!(key, "/{}", self.ipv6_prefix);
                }
            }
            Client::Name(name) => key.extend(name.iter().map(u8::to_ascii_lowercase)),
        }
    }
}

/// Returns a name without its port and its final dot.
fn name(text: &[u8]) -> Result<Client<'_>, Reason> {
    let name = match memchr(b':', text) {
        Some(colon) if address::is_port(&text[colon + 1..]) => &text[..colon],
        _ => text,
    };
    let name = name.strip_suffix(b".").unwrap_or(name);
    if name.is_empty() || name.iter().any(|&byte| byte <= b' ' || byte == 0x7f) {
        return Err("a client that is neither an address nor a name");
    }
    Ok(Client::Name(name))
}

#[inline]
fn decimal(octet: u8, text: &mut Vec<u8>) {
    if octet >= 100 {
        text.push(b'0' + octet / 100);
    }
    if octet >= 10 {
        text.push(b'0' + octet / 10 % 10);
    }
    text.push(b'0' + octet % 10);
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::super::entry::{Entry, Reason};
    use super::{ClientField, ClientRule};

    fn key_by(rule: ClientRule, text: &str) -> Result<Option<String>, Reason> {
        let entry = Entry { client: Cow::Borrowed(text.as_bytes()), ..Entry::default() };
        let client = rule.client(&entry)?;
        Ok(client.map(|client| {
            let mut key = Vec::new();
            rule.write(client, &mut key);
            String::from_utf8(key).expect("text")
        }))
    }

    fn key(text: &str) -> String {
        key_by(ClientRule::default(), text).expect(text).expect(text)
    }

    #[test]
    fn clients_are_grouped_by_their_network() {
        for (client, prefix, expected) in [
            ("203.0.113.9", 64, "203.0.113.9"),
            ("203.0.113.100", 0, "203.0.113.100"),
            ("2001:db8:1:2:3:4:5:6", 64, "2001:db8:1:2::/64"),
            ("2001:db8:1:2:3:4:5:6", 48, "2001:db8:1::/48"),
            ("2001:db8:1:2:3:4:5:6", 128, "2001:db8:1:2:3:4:5:6"),
            ("2001:db8:1:2:3:4:5:6", 0, "::/0"),
            ("fe80::1%eth0", 64, "fe80::/64"),
            ("crawler.example.org", 64, "crawler.example.org"),
        ] {
            let rule = ClientRule { ipv6_prefix: prefix, ..ClientRule::default() };
            assert_eq!(key_by(rule, client), Ok(Some(expected.to_owned())));
        }
    }

    #[test]
    fn one_client_in_other_words_is_one_client() {
        for (one, other) in [
            ("203.0.113.9:40000", "203.0.113.9:40001"),
            ("203.0.113.9", "::ffff:203.0.113.9"),
            ("203.0.113.9", "64:ff9b::cb00:7109"),
            ("[2001:db8::1]:443", "2001:DB8:0:0::2"),
            ("fe80::1%eth0", "fe80::1%eth1"),
            ("Crawler.Example.org.", "crawler.example.org:8080"),
        ] {
            assert_eq!(key(one), key(other));
        }
    }

    #[test]
    fn a_list_is_read_from_its_trustworthy_end() {
        for (list, hops, expected) in [
            ("198.51.100.7, 10.0.0.1", None, "198.51.100.7"),
            ("198.51.100.7,10.0.0.1,10.0.0.2", None, "198.51.100.7"),
            ("198.51.100.7, 10.0.0.1:443, fd00::1", None, "198.51.100.7"),
            // A client that says whatever it likes is known by what its proxy saw.
            ("192.0.2.1, 198.51.100.7", None, "198.51.100.7"),
            ("192.0.2.1, 198.51.100.7, 10.0.0.1", None, "198.51.100.7"),
            ("10.1.1.1, 10.0.0.1", None, "10.1.1.1"),
            ("2001:db8::1, 127.0.0.1", None, "2001:db8::/64"),
            ("192.0.2.1, 198.51.100.7, 203.0.113.1", Some(1), "198.51.100.7"),
            ("192.0.2.1, 198.51.100.7, 203.0.113.1", Some(0), "203.0.113.1"),
            ("192.0.2.1, 198.51.100.7, 203.0.113.1", Some(9), "192.0.2.1"),
            ("192.0.2.1, 198.51.100.7, 203.0.113.1", Some(u32::MAX), "192.0.2.1"),
            ("192.0.2.1", Some(1), "192.0.2.1"),
        ] {
            let rule = ClientRule { trusted_hops: hops, ..ClientRule::default() };
            assert_eq!(key_by(rule, list), Ok(Some(expected.to_owned())), "{list}");
        }
    }

    #[test]
    fn no_client_is_no_client() {
        for text in ["", "-", "unknown", "-, 10.0.0.1", "unknown, 10.0.0.1", " , 10.0.0.1", ","] {
            assert_eq!(key_by(ClientRule::default(), text), Ok(None), "{text}");
        }
        for text in ["a b", "a\tb", ".", ":80", "a\x7f"] {
            assert!(key_by(ClientRule::default(), text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_field_is_the_one_that_was_asked_for() {
        let entry = Entry {
            client: Cow::Borrowed(b"10.0.0.1"),
            forwarded: Cow::Borrowed(b"198.51.100.7"),
            ..Entry::default()
        };
        let direct = Entry { client: Cow::Borrowed(b"10.0.0.1"), ..Entry::default() };
        let forwarded = ClientRule { field: ClientField::Forwarded, ..ClientRule::default() };
        let mut key = Vec::new();
        let client = forwarded.client(&entry).expect("a client").expect("a client");
        forwarded.write(client, &mut key);
        assert_eq!(key, b"198.51.100.7");
        // The proxy is not taken for the client.
        assert_eq!(forwarded.client(&direct), Ok(None));
    }
}
