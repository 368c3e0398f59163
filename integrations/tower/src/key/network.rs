//! Networks: an address and how many of its bits count.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network of IPv4 or IPv6: an address and the number of its leading bits that count.
///
/// A mapped IPv4 address (`::ffff:192.0.2.1`) counts as the IPv4 address that it holds.
///
/// ```
/// use tidegate_tower::key::Network;
///
/// let network: Network = "10.0.0.0/8".parse()?;
/// assert!(network.contains("10.1.2.3".parse().unwrap()));
/// assert!(network.contains("::ffff:10.1.2.3".parse().unwrap()));
/// assert!(!network.contains("11.1.2.3".parse().unwrap()));
/// # Ok::<(), tidegate_tower::key::NetworkError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    /// The bits beyond the length are zero.
    base: IpAddr,
    length: u8,
}

/// Says that a text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetworkError {
    /// The text before the slash is no address.
    Address,
    /// The text after the slash is no number, or more than the address has bits.
    Length,
}

impl Network {
    /// Returns the network of `address` with `v4` or `v6` leading bits, as its family says. Lengths
    /// above 32 and 128 count as these.
    pub fn of(address: IpAddr, v4: u8, v6: u8) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let length = v4.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                let base = Ipv4Addr::from_bits(address.to_bits() & mask);
                Self { base: IpAddr::V4(base), length }
            }
            IpAddr::V6(address) => {
                let length = v6.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                let base = Ipv6Addr::from_bits(address.to_bits() & mask);
                Self { base: IpAddr::V6(base), length }
            }
        }
    }

    /// Returns whether `address` is in the network.
    pub fn contains(&self, address: IpAddr) -> bool {
        Self::of(address, self.length, self.length) == *self
    }

    /// Returns the family, 4 or 6, the length and the bits.
    pub(super) fn parts(&self) -> (u8, u8, u128) {
        match self.base {
            IpAddr::V4(base) => (4, self.length, u128::from(base.to_bits())),
            IpAddr::V6(base) => (6, self.length, base.to_bits()),
        }
    }

    pub(super) fn encode(&self, buffer: &mut Vec<u8>) {
        buffer.push(self.length);
        match self.base {
            IpAddr::V4(base) => buffer.extend(base.octets()),
            IpAddr::V6(base) => buffer.extend(base.octets()),
        }
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self::of(address, 32, 128)
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    /// Parses an address, or an address, a slash and a length. The bits beyond the length are
    /// ignored.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Address)?;
        let Some(length) = length else { return Ok(Self::from(address)) };
        let length: u8 = length.parse().map_err(|_| NetworkError::Length)?;
        // Of a mapped address 96 bits are those that say that it is one.
        let is_mapped = address.is_ipv6() && address.to_canonical().is_ipv4();
        let (skipped, most) = match (address, is_mapped) {
            (IpAddr::V4(_), _) => (0, 32),
            (IpAddr::V6(_), true) => (96, 128),
            (IpAddr::V6(_), false) => (0, 128),
        };
        if length < skipped || length > most {
            return Err(NetworkError::Length);
        }
        Ok(Self::of(address, length - skipped, length))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.length)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "network: the text before the slash is no IP address",
            Self::Length => "network: the length is no number of bits of such an address",
        })
    }
}

impl std::error::Error for NetworkError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn bits_beyond_the_length_do_not_count() {
        let of = |text, v4, v6| Network::of(address(text), v4, v6).to_string();
        assert_eq!(of("192.0.2.77", 24, 64), "192.0.2.0/24");
        assert_eq!(of("192.0.2.77", 0, 64), "0.0.0.0/0");
        assert_eq!(of("192.0.2.77", 200, 64), "192.0.2.77/32");
        assert_eq!(of("2001:db8:1:2:3:4:5:6", 32, 64), "2001:db8:1:2::/64");
        assert_eq!(of("2001:db8:1:2:3:4:5:6", 32, 56), "2001:db8:1::/56");
        assert_eq!(of("2001:db8:1:2:3:4:5:6", 32, 0), "::/0");
        assert_eq!(of("::ffff:192.0.2.77", 32, 64), "192.0.2.77/32");
    }

    #[test]
    fn a_mapped_network_is_that_of_the_address_in_it() {
        let network: Network = "::ffff:10.0.0.0/104".parse().expect("a network");
        assert_eq!(network, "10.0.0.0/8".parse().expect("a network"));
        assert!(network.contains(address("10.9.9.9")));
        assert_eq!("::ffff:10.0.0.0/95".parse::<Network>(), Err(NetworkError::Length));
    }

    #[test]
    fn the_families_have_nothing_in_common() {
        let everything: Network = "0.0.0.0/0".parse().expect("a network");
        assert!(everything.contains(address("203.0.113.1")));
        assert!(!everything.contains(address("2001:db8::1")));
    }

    #[test]
    fn no_network_is_an_error() {
        for (text, error) in [
            ("", NetworkError::Address),
            ("10.0.0/8", NetworkError::Address),
            ("10.0.0.0/33", NetworkError::Length),
            ("10.0.0.0/", NetworkError::Length),
            ("10.0.0.0/-1", NetworkError::Length),
            ("2001:db8::/129", NetworkError::Length),
        ] {
            assert_eq!(text.parse::<Network>(), Err(error), "{text}");
        }
    }
}
