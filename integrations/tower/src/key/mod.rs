//! Keys: whose bucket a request is charged to.
//!
//! An extractor reads a [`Key`] from the [head](Head) of a request. The key borrows from the request;
//! no key is stored. Extractors for the usual cases are functions of this module.

mod address;
mod forwarded;
mod network;
mod peer;

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};

use http::HeaderName;

use crate::head::Head;

pub use self::address::{Address, ForwardedField, Trust, forwarded, peer};
pub use self::network::{Network, NetworkError};
pub use self::peer::PeerAddr;

/// Whose bucket a request is charged to.
///
/// Keys of different kinds are different: the number 7 is not the text "7".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key<'a>(Kind<'a>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind<'a> {
    Global,
    Keyless,
    Network(Network),
    Number(u64),
    Bytes(Cow<'a, [u8]>),
}

/// Reads the key of a request.
///
/// Closures become extractors by [`from_fn`].
pub trait KeyExtractor: Send + Sync + 'static {
    /// Returns the key of a request, or `None` if it has none. [`NoKey`] says what happens then.
    fn key<'a>(&self, head: &Head<'a>) -> Option<Key<'a>>;
}

/// What happens to a request without a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NoKey {
    /// The request is denied: 403, or `PERMISSION_DENIED` for gRPC.
    #[default]
    Deny,
    /// All requests without a key share one bucket.
    Share,
    /// The policy does not apply to the request.
    Allow,
}

impl<'a> Key<'a> {
    /// The one key of a limit that all requests share.
    pub const GLOBAL: Key<'static> = Key(Kind::Global);
    /// The key of all requests without a key, where they share a bucket.
    pub(crate) const KEYLESS: Key<'static> = Key(Kind::Keyless);

    /// Makes a key of a network. An address is a network of its full length.
    pub fn network(network: Network) -> Self {
        Self(Kind::Network(network))
    }

    /// Makes a key of a number, such as the id of a user.
    pub fn number(number: u64) -> Self {
        Self(Kind::Number(number))
    }

    /// Makes a key of bytes, borrowed or owned.
    ///
    /// ```
    /// use tidegate_tower::key::Key;
    ///
    /// assert_eq!(Key::bytes(b"alice".as_slice()), Key::bytes("alice".to_owned().into_bytes()));
    /// ```
    pub fn bytes(bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self(Kind::Bytes(bytes.into()))
    }

    /// Makes a key of text. It equals the key of the same bytes.
    pub fn text(text: &'a str) -> Self {
        Self::bytes(text.as_bytes())
    }

    /// Appends the key to `buffer` in a form that is the same on every machine, and different for
    /// different keys: for a [`Backend`](crate::Backend) that several machines share.
    ///
    /// ```
    /// use tidegate_tower::key::Key;
    ///
    /// let mut buffer = Vec::new();
    /// Key::number(258).encode(&mut buffer);
    /// assert_eq!(buffer, [b'n', 0, 0, 0, 0, 0, 0, 1, 2]);
    /// ```
    pub fn encode(&self, buffer: &mut Vec<u8>) {
        match &self.0 {
            Kind::Global => buffer.push(b'g'),
            Kind::Keyless => buffer.push(b'k'),
            Kind::Network(network) => {
                buffer.push(b'a');
                network.encode(buffer);
            }
            Kind::Number(number) => {
                buffer.push(b'n');
                buffer.extend(number.to_be_bytes());
            }
            Kind::Bytes(bytes) => {
                buffer.push(b'b');
                buffer.extend_from_slice(bytes);
            }
        }
    }
}

// By hand, because SipHash takes longer for each piece that it is fed.
impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.0 {
            Kind::Global => state.write_u64(0),
            Kind::Keyless => state.write_u64(1),
            Kind::Number(number) => {
                state.write_u64(2);
                state.write_u64(*number);
            }
            Kind::Bytes(bytes) => {
                // Nothing follows, so the bytes need no length before them.
                state.write_u64(3);
                state.write(bytes);
            }
            Kind::Network(network) => {
                let (family, length, bits) = network.parts();
                state.write_u64(4 | u64::from(family) << 8 | u64::from(length) << 16);
                match u64::try_from(bits) {
                    Ok(bits) => state.write_u64(bits),
                    Err(_) => state.write_u128(bits),
                }
            }
        }
    }
}

/// Has all requests share one bucket.
///
/// ```
/// use tidegate_tower::{Head, key::{self, Key, KeyExtractor}};
///
/// let request = http::Request::new(());
/// assert_eq!(key::global().key(&Head::of(&request)), Some(Key::GLOBAL));
/// ```
pub fn global() -> impl KeyExtractor {
    from_fn(|_| Some(Key::GLOBAL))
}

/// Gives each path a bucket. The path is what the client sent: `/a` and `/%61` are two keys.
///
/// ```
/// use tidegate_tower::{Head, key::{self, Key, KeyExtractor}};
///
/// let request = http::Request::get("/search?q=tide").body(()).unwrap();
/// assert_eq!(key::path().key(&Head::of(&request)), Some(Key::text("/search")));
/// ```
pub fn path() -> impl KeyExtractor {
    from_fn(|head| Some(Key::text(head.path())))
}

/// Gives each value of the header `name` a bucket. A request with no such header, or with several,
/// has no key.
///
/// A client chooses its headers, and so its bucket. Use this only for a header that has been
/// verified, such as the API key of an authenticated request.
///
/// ```
/// use http::HeaderName;
/// use tidegate_tower::{Head, key::{self, Key, KeyExtractor}};
///
/// let extractor = key::header(HeaderName::from_static("x-api-key"));
/// let request = http::Request::get("/").header("x-api-key", "7f3a").body(()).unwrap();
/// assert_eq!(extractor.key(&Head::of(&request)), Some(Key::text("7f3a")));
/// ```
pub fn header(name: HeaderName) -> impl KeyExtractor {
    from_fn(move |head| head.header(&name).map(Key::bytes))
}

/// Makes the key of an extension that a middleware outside this layer has set, such as the user that
/// it has authenticated. A request without the extension has no key.
///
/// ```
/// use tidegate_tower::{Head, key::{self, Key, KeyExtractor}};
///
/// #[derive(Clone)]
/// struct User {
///     id: u64,
/// }
///
/// let extractor = key::extension(|user: &User| Key::number(user.id));
/// let request = http::Request::get("/").extension(User { id: 7 }).body(()).unwrap();
/// assert_eq!(extractor.key(&Head::of(&request)), Some(Key::number(7)));
/// ```
pub fn extension<T, F>(key: F) -> impl KeyExtractor
where
    T: Send + Sync + 'static,
    F: for<'a> Fn(&'a T) -> Key<'a> + Send + Sync + 'static,
{
    from_fn(move |head| head.extension::<T>().map(&key))
}

/// Makes an extractor of a closure.
///
/// ```
/// use tidegate_tower::{Head, key::{self, Key, KeyExtractor}};
///
/// let tenant = key::from_fn(|head| {
///     let tenant = head.path().strip_prefix("/tenants/")?.split('/').next()?;
///     Some(Key::text(tenant))
/// });
/// let request = http::Request::get("/tenants/acme/orders").body(()).unwrap();
/// assert_eq!(tenant.key(&Head::of(&request)), Some(Key::text("acme")));
/// ```
pub fn from_fn<F>(key: F) -> impl KeyExtractor
where
    F: for<'a> Fn(&Head<'a>) -> Option<Key<'a>> + Send + Sync + 'static,
{
    FromFn(key)
}

struct FromFn<F>(F);

impl<F> KeyExtractor for FromFn<F>
where
    F: for<'a> Fn(&Head<'a>) -> Option<Key<'a>> + Send + Sync + 'static,
{
    fn key<'a>(&self, head: &Head<'a>) -> Option<Key<'a>> {
        (self.0)(head)
    }
}

impl fmt::Debug for dyn KeyExtractor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyExtractor")
    }
}
