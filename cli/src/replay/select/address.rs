//! Addresses as logs write them, and networks of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use memchr::{memchr, memrchr};

/// Reads an address: with or without brackets, a port and a zone. IPv4 in an IPv6 form is IPv4.
pub(super) fn address(text: &[u8]) -> Option<IpAddr> {
    // The cheap forms first: some logs have a port in every line, and others have names.
    let Some(colon) = memchr(b':', text) else {
        let inside = text.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
        return v4(inside.unwrap_or(text)).map(IpAddr::V4);
    };
    if let Some(address) = v4(&text[..colon]) {
        return is_port(&text[colon + 1..]).then_some(IpAddr::V4(address));
    }
    if let Some(rest) = text.strip_prefix(b"[") {
        let end = memchr(b']', rest)?;
        let is_whole = match rest[end + 1..].split_first() {
            None => true,
            Some((&first, port)) => first == b':' && is_port(port),
        };
        return if is_whole { either(&rest[..end]) } else { None };
    }
    // Text that is no address as a whole may be an address with a port.
    v6(text).or_else(|| {
        let colon = memrchr(b':', text)?;
        if is_port(&text[colon + 1..]) { v6(&text[..colon]) } else { None }
    })
}

fn either(text: &[u8]) -> Option<IpAddr> {
    v4(text).map(IpAddr::V4).or_else(|| v6(text))
}

/// Reads an IPv4 address in its one usual form.
#[inline]
pub(super) fn v4(text: &[u8]) -> Option<Ipv4Addr> {
    if !(7..=15).contains(&text.len()) {
        return None;
    }
    let (mut octets, mut place) = ([0_u8; 4], 0);
    let (mut value, mut digits) = (0_u32, 0);
    for &byte in text {
        match byte {
            // A leading zero means octal to some readers and nothing to others.
            b'0'..=b'9' if digits < 3 && (digits == 0 || value > 0) => {
                value = value * 10 + u32::from(byte - b'0');
                digits += 1;
            }
            b'.' if digits > 0 && place < 3 => {
                octets[place] = u8::try_from(value).ok()?;
                place += 1;
                (value, digits) = (0, 0);
            }
            _ => return None,
        }
    }
    if place < 3 || digits == 0 {
        return None;
    }
    octets[3] = u8::try_from(value).ok()?;
    Some(Ipv4Addr::from(octets))
}

/// Reads an IPv6 address, without its zone: an interface of the server says nothing about a client.
fn v6(text: &[u8]) -> Option<IpAddr> {
    let end = memchr(b'%', text).unwrap_or(text.len());
    let address: Ipv6Addr = std::str::from_utf8(&text[..end]).ok()?.parse().ok()?;
    Some(plain(address))
}

/// Returns the IPv4 address behind a mapped one or one of NAT64, `64:ff9b::/96`.
fn plain(address: Ipv6Addr) -> IpAddr {
    let bits = address.to_bits();
    match bits >> 32 {
        0xffff | 0x0064_ff9b_0000_0000_0000_0000 => IpAddr::V4(Ipv4Addr::from_bits(bits as u32)),
        _ => IpAddr::V6(address),
    }
}

/// Returns whether the text is a number of one to five digits, as a port is.
pub(super) fn is_port(text: &[u8]) -> bool {
    (1..=5).contains(&text.len()) && text.iter().all(u8::is_ascii_digit)
}

/// Returns whether the address is of an internal network, as a proxy's often is: private, shared,
/// link-local or loopback.
pub(super) fn is_inside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            // 100.64.0.0/10 is shared address space.
            let is_shared = first == 100 && second & 0xc0 == 64;
            v4.is_private() || v4.is_loopback() || v4.is_link_local() || is_shared
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Returns an address of which all but the first `prefix` bits are zero.
pub(super) fn masked(address: Ipv6Addr, prefix: u8) -> Ipv6Addr {
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
    Ipv6Addr::from_bits(address.to_bits() & mask)
}

/// A network of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Reads an address, or a network such as `192.0.2.0/24`, or says what is wrong with it.
    pub(super) fn parse(words: &str) -> Result<Self, String> {
        let wrong = || format!("\"{words}\" is neither an address nor a network as 192.0.2.0/24");
        let (text, prefix) = match words.split_once('/') {
            None => (words, None),
            Some((text, prefix)) => (text, Some(prefix)),
        };
        let given: IpAddr = text.parse().map_err(|_| wrong())?;
        let most: u8 = if given.is_ipv4() { 32 } else { 128 };
        let mut prefix = match prefix {
            None => most,
            // `parse` alone would take a sign.
            Some(prefix) if is_port(prefix.as_bytes()) => prefix.parse().map_err(|_| wrong())?,
            Some(_) => return Err(wrong()),
        };
        if prefix > most {
            return Err(format!("\"{words}\": a prefix is at most {most} bits"));
        }
        let mut address = given;
        // A network of IPv4 addresses in an IPv6 form holds the same clients as the IPv4 one.
        if let IpAddr::V6(v6) = given
            && prefix >= 96
            && let IpAddr::V4(v4) = plain(v6)
        {
            (address, prefix) = (IpAddr::V4(v4), prefix - 96);
        }
        Ok(Self { address, prefix })
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                (network.to_bits() ^ address.to_bits()) & mask == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                masked(network, self.prefix) == masked(address, self.prefix)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{Network, address, is_inside, v4};

    fn parsed(text: &str) -> Option<String> {
        address(text.as_bytes()).map(|address| address.to_string())
    }

    #[test]
    fn every_form_of_an_address_is_read() {
        for (text, plain) in [
            ("203.0.113.9", "203.0.113.9"),
            ("203.0.113.9:40000", "203.0.113.9"),
            ("[203.0.113.9]", "203.0.113.9"),
            ("[203.0.113.9]:80", "203.0.113.9"),
            ("2001:db8::1", "2001:db8::1"),
            ("2001:DB8:0::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("::ffff:cb00:7109", "203.0.113.9"),
            ("[::ffff:203.0.113.9]:80", "203.0.113.9"),
            ("::ffff:203.0.113.9:80", "203.0.113.9"),
            ("64:ff9b::203.0.113.9", "203.0.113.9"),
            ("64:ff9b:1::203.0.113.9", "64:ff9b:1::cb00:7109"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%eth0]:443", "fe80::1"),
            // An address of eight groups, of which the last looks like a port.
            ("2001:db8:1:2:3:4:5:8080", "2001:db8:1:2:3:4:5:8080"),
        ] {
            assert_eq!(parsed(text).unwrap_or_default(), plain, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_none() {
        for text in [
            "",
            ".",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.256",
            "01.2.3.4",
            "1..2.3",
            "1.2.3.",
            ".1.2.3",
            "1.2.3.4:",
            "1.2.3.4:x",
            "1.2.3.4:123456",
            "[::1",
            "[::1]x",
            "[::1]:",
            "::g",
            "example.org",
            "1234567",
            "0001.2.3.4",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
        assert_eq!(address(b"\xff\xfe"), None);
    }

    #[test]
    fn octets_are_read_as_the_standard_library_reads_them() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..100_000 {
            let length = random.usize(1..17);
            let text: String = (0..length)
                .map(|_| random.choice(b"0123456789.".iter()))
                .map(|byte| char::from(*byte.expect("a byte")))
                .collect();
            assert_eq!(v4(text.as_bytes()), text.parse().ok(), "{text}");
        }
        for octet in 0..=255_u8 {
            let text = format!("{octet}.0.{octet}.1");
            assert_eq!(v4(text.as_bytes()), text.parse().ok(), "{text}");
        }
    }

    #[test]
    fn proxies_of_ones_own_are_known() {
        for (text, inside) in [
            ("10.0.0.1", true),
            ("172.16.0.1", true),
            ("172.32.0.1", false),
            ("192.168.3.4", true),
            ("127.0.0.1", true),
            ("169.254.1.1", true),
            ("100.64.0.1", true),
            ("100.128.0.1", false),
            ("203.0.113.9", false),
            ("::1", true),
            ("fd00::1", true),
            ("fe80::1", true),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_inside(text.parse().expect(text)), inside, "{text}");
        }
    }

    #[test]
    fn networks_hold_their_addresses() {
        for (network, address, holds) in [
            ("192.0.2.0/24", "192.0.2.255", true),
            ("192.0.2.0/24", "192.0.3.0", false),
            ("192.0.2.77/24", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "2001:db8::1", true),
            ("::ffff:192.0.2.0/120", "192.0.2.9", true),
            ("::ffff:192.0.2.0/120", "192.0.3.9", false),
        ] {
            let address: IpAddr = address.parse().expect(address);
            let parsed = Network::parse(network).expect(network);
            assert_eq!(parsed.contains(address), holds, "{network} {address}");
        }
        for words in
            ["", "x", "192.0.2.0/33", "192.0.2.0/", "192.0.2.0/+8", "::/129", "::/256", "1.2.3/8"]
        {
            assert!(Network::parse(words).is_err(), "{words}");
        }
    }
}
