//! Denials: why a request was denied, and the response to it.

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};

use crate::grpc::{self, Code};

/// The type of a quota that was exceeded, by the IETF's draft.
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// A request that was denied: for the hook that makes the response,
/// [`on_denied`](crate::Builder::on_denied).
#[derive(Clone, Copy, Debug)]
pub struct Denial<'a> {
    pub(crate) reason: Reason,
    pub(crate) policies: &'a [&'a str],
    pub(crate) retry_after: Option<Duration>,
    pub(crate) is_grpc: bool,
}

/// Why a request was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A quota was exceeded.
    Quota,
    /// The request has no key, and [`NoKey::Deny`](crate::NoKey::Deny) says what happens then.
    NoKey,
    /// The backend could not decide.
    Unavailable,
}

impl Denial<'_> {
    /// Returns why the request was denied.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// Returns the names of the policies that denied the request. There is none if the backend could
    /// not decide.
    pub fn policies(&self) -> &[&str] {
        self.policies
    }

    /// Returns how long until the request would be admitted, if no other came before it; `None` if no
    /// wait helps or the wait is unknown.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns whether the request is one of gRPC.
    pub fn is_grpc(&self) -> bool {
        self.is_grpc
    }

    /// Makes the response that a request gets without a hook.
    ///
    /// | reason | HTTP | gRPC, in a response of trailers only |
    /// |---|---|---|
    /// | [`Quota`](Reason::Quota) | 429, with a problem (RFC 9457) that names the policies | `RESOURCE_EXHAUSTED`, with `RetryInfo` |
    /// | [`NoKey`](Reason::NoKey) | 403 | `PERMISSION_DENIED` |
    /// | [`Unavailable`](Reason::Unavailable) | 503 | `UNAVAILABLE` |
    ///
    /// The layer then adds `Retry-After` and the `RateLimit` fields, to that of a hook, too.
    pub fn response(&self) -> Response<Bytes> {
        if self.is_grpc { self.of_grpc() } else { self.of_http() }
    }

    fn of_grpc(&self) -> Response<Bytes> {
        match self.reason {
            Reason::Quota => {
                grpc::response(Code::ResourceExhausted, "too many requests", self.retry_after)
            }
            Reason::NoKey => grpc::response(Code::PermissionDenied, NO_KEY, None),
            Reason::Unavailable => grpc::response(Code::Unavailable, UNAVAILABLE, None),
        }
    }

    fn of_http(&self) -> Response<Bytes> {
        let (status, kind, body) = match self.reason {
            Reason::Quota => {
                let problem = Bytes::from(self.problem());
                (StatusCode::TOO_MANY_REQUESTS, "application/problem+json", problem)
            }
            Reason::NoKey => (StatusCode::FORBIDDEN, "text/plain", NO_KEY.into()),
            Reason::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "text/plain", UNAVAILABLE.into())
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    }

    /// Returns the problem of an exceeded quota, in JSON.
    fn problem(&self) -> String {
        let mut problem = format!(
            r#"{{"type":"{QUOTA_EXCEEDED}","title":"Too many requests","violated-policies":["#
        );
        for (at, policy) in self.policies.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            // A name is printable ASCII, of which JSON escapes as Rust does.
            let _ = write!(problem, "{comma}{policy:?}");
        }
        problem.push_str("]}");
        problem
    }
}

const NO_KEY: &str = "the request has no key to be limited by";
const UNAVAILABLE: &str = "the rate limits are unavailable";
