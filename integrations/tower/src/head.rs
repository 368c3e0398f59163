//! The head of a request: all that a limit may look at.

use std::fmt;

use http::header::{AsHeaderName, CONTENT_LENGTH};
use http::{Extensions, HeaderMap, Method, Request, Uri};

/// The head of a request, borrowed: what key extractors, costs, routes and hooks look at.
///
/// ```
/// use tidegate_tower::Head;
///
/// let request = http::Request::post("/upload").header("content-length", "512").body(()).unwrap();
/// let head = Head::of(&request);
/// assert_eq!((head.path(), head.content_length()), ("/upload", Some(512)));
/// ```
#[derive(Clone, Copy)]
pub struct Head<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    extensions: &'a Extensions,
}

impl<'a> Head<'a> {
    /// Borrows the head of `request`.
    pub fn of<B>(request: &'a Request<B>) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }

    /// Returns the method.
    pub fn method(&self) -> &'a Method {
        self.method
    }

    /// Returns the URI.
    pub fn uri(&self) -> &'a Uri {
        self.uri
    }

    /// Returns the path as the client sent it, without decoding it.
    pub fn path(&self) -> &'a str {
        self.uri.path()
    }

    /// Returns the headers.
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// Returns the value of the header `name` if the request has exactly one. A client that sends
    /// several values cannot choose which of them counts.
    pub fn header(&self, name: impl AsHeaderName) -> Option<&'a [u8]> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?;
        values.next().is_none().then(|| value.as_bytes())
    }

    /// Returns the extension of this type, which a middleware outside this one has set.
    pub fn extension<T: Send + Sync + 'static>(&self) -> Option<&'a T> {
        self.extensions.get()
    }

    /// Returns `Content-Length` in bytes, or `None` if it is absent, repeated or not a number.
    pub fn content_length(&self) -> Option<u64> {
        let digits = self.header(CONTENT_LENGTH)?;
        // `u64::from_str` would accept a sign, which the field does not.
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        std::str::from_utf8(digits).ok()?.parse().ok()
    }
}

impl fmt::Debug for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The headers stay out: they hold credentials.
        f.debug_struct("Head")
            .field("method", self.method)
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}
