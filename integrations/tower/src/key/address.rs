//! The address of the client: that of the peer, or the one that trusted proxies have forwarded.

use std::net::IpAddr;

use http::HeaderName;
use http::header::FORWARDED;

use super::forwarded::{FromRight, forwarded_for, node};
use super::network::{Network, NetworkError};
use super::peer::peer_of;
use super::{Key, KeyExtractor};
use crate::head::Head;

/// The most proxies of trusted networks that one request may have passed.
const MAX_PROXIES: usize = 64;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Finds the address of the client, and makes a key of its network.
///
/// Made by [`peer`] and [`forwarded`]. An IPv6 client often has a whole /64, so its first 64 bits are
/// the key; of an IPv4 address all bits are. A mapped IPv4 address counts as the IPv4 address.
#[derive(Clone, Debug)]
pub struct Address {
    /// `None`: no proxy is trusted.
    trust: Option<Trust>,
    field: ForwardedField,
    v4: u8,
    v6: u8,
}

/// Which proxies are trusted to say where a request came from.
#[derive(Clone, Debug)]
pub enum Trust {
    /// The number of proxies in front of this server. Every request passes all of them. The
    /// client is what the first of these has seen: the element at this place counted from the right.
    /// A request with fewer elements counts as the peer's. 0 trusts no proxy.
    ///
    /// A client that can reach the server past the proxies can choose its address.
    Hops(usize),
    /// Proxies in these networks. The client is the peer if it is in none of them. Otherwise it is
    /// the first element, counted from the right, that is in none; or the last one, if all are.
    Networks(Vec<Network>),
}

/// The header in which proxies say where a request came from. The others are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ForwardedField {
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded`, of RFC 7239.
    Forwarded,
    /// A header with an address, or with a list of addresses as `X-Forwarded-For` has it, such as
    /// `CF-Connecting-IP`.
    Named(HeaderName),
}

/// Makes keys of the address of the peer: the other end of the connection.
///
/// The server must put the address into the request's extensions: see
/// [`PeerAddr`](super::PeerAddr). Behind a proxy, the peer is the proxy: use [`forwarded`].
///
/// ```
/// use tidegate_tower::{Head, key::{self, Key, KeyExtractor, PeerAddr}};
///
/// let peer: std::net::SocketAddr = "[2001:db8:1:2:3:4:5:6]:4711".parse().unwrap();
/// let request = http::Request::get("/").extension(PeerAddr(peer)).body(()).unwrap();
/// let key = key::peer().v6_prefix(48).key(&Head::of(&request));
/// assert_eq!(key, Some(Key::network("2001:db8:1::/48".parse()?)));
/// # Ok::<(), tidegate_tower::key::NetworkError>(())
/// ```
pub fn peer() -> Address {
    Address { trust: None, field: ForwardedField::default(), v4: 32, v6: 64 }
}

/// Makes keys of the address that trusted proxies have forwarded, in `X-Forwarded-For` unless
/// [`field`](Address::field) says otherwise.
///
/// If a trusted proxy has written something that is no address, such as `unknown`, the request has no
/// key.
///
/// ```
/// use tidegate_tower::{Head, key::{self, Key, KeyExtractor, Trust}};
///
/// let extractor = key::forwarded(Trust::Hops(1)); // one load balancer
/// let request = http::Request::get("/")
///     .header("x-forwarded-for", "198.51.100.1, 203.0.113.7") // the first one is made up
///     .body(())
///     .unwrap();
/// let key = extractor.key(&Head::of(&request));
/// assert_eq!(key, Some(Key::network("203.0.113.7".parse()?)));
/// # Ok::<(), tidegate_tower::key::NetworkError>(())
/// ```
pub fn forwarded(trust: Trust) -> Address {
    Address { trust: Some(trust), ..peer() }
}

impl Trust {
    /// Trusts proxies in these networks.
    ///
    /// ```
    /// use tidegate_tower::key::{self, Trust};
    ///
    /// let extractor = key::forwarded(Trust::networks(["10.0.0.0/8", "2001:db8::/32"])?);
    /// # let _ = extractor;
    /// # Ok::<(), tidegate_tower::key::NetworkError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If a text is no network.
    pub fn networks<'a>(networks: impl IntoIterator<Item = &'a str>) -> Result<Self, NetworkError> {
        let networks = networks.into_iter().map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self::Networks(networks))
    }
}

impl Address {
    /// Sets the header in which the proxies say where a request came from.
    #[must_use]
    pub fn field(mut self, field: ForwardedField) -> Self {
        self.field = field;
        self
    }

    /// Sets how many leading bits of an IPv4 address are the key. 32 by default, and at most.
    #[must_use]
    pub fn v4_prefix(mut self, bits: u8) -> Self {
        self.v4 = bits;
        self
    }

    /// Sets how many leading bits of an IPv6 address are the key. 64 by default, 128 at most.
    #[must_use]
    pub fn v6_prefix(mut self, bits: u8) -> Self {
        self.v6 = bits;
        self
    }

    /// Returns the address of the client, or `None` if it is unknown.
    pub fn of(&self, head: &Head<'_>) -> Option<IpAddr> {
        let peer = || Some(peer_of(head)?.ip().to_canonical());
        match &self.trust {
            None | Some(Trust::Hops(0)) => peer(),
            Some(Trust::Hops(hops)) => match self.elements(head).nth(hops - 1) {
                Some(element) => self.read(element),
                None => peer(),
            },
            Some(Trust::Networks(networks)) => {
                let is_trusted = |address| networks.iter().any(|network| network.contains(address));
                self.walk(head, peer()?, is_trusted)
            }
        }
    }

    /// Goes from the peer to the left as long as the addresses are trusted.
    fn walk(
        &self,
        head: &Head<'_>,
        peer: IpAddr,
        is_trusted: impl Fn(IpAddr) -> bool,
    ) -> Option<IpAddr> {
        let (mut address, mut elements) = (peer, self.elements(head));
        for _ in 0..MAX_PROXIES {
            if !is_trusted(address) {
                return Some(address);
            }
            match elements.next() {
                Some(element) => address = self.read(element)?,
                None => return Some(address),
            }
        }
        None
    }

    /// Returns the elements of the field from the right to the left.
    fn elements<'a>(&self, head: &Head<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let name = match &self.field {
            ForwardedField::XForwardedFor => &X_FORWARDED_FOR,
            ForwardedField::Forwarded => &FORWARDED,
            ForwardedField::Named(name) => name,
        };
        let lines = head.headers().get_all(name).iter().rev();
        let has_quotes = self.field == ForwardedField::Forwarded;
        FromRight::new(lines.map(http::HeaderValue::as_bytes), has_quotes)
    }

    /// Returns the address that an element names.
    fn read(&self, element: &[u8]) -> Option<IpAddr> {
        let text = match self.field {
            ForwardedField::Forwarded => forwarded_for(element)?,
            _ => element,
        };
        Some(node(text)?.to_canonical())
    }
}

impl KeyExtractor for Address {
    fn key<'a>(&self, head: &Head<'a>) -> Option<Key<'a>> {
        Some(Key::network(Network::of(self.of(head)?, self.v4, self.v6)))
    }
}
