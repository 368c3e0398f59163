//! gRPC: a denial as a response of trailers only, with `google.rpc.RetryInfo` in its details.
//!
//! A response without messages carries its status among the headers. The details are a
//! `google.rpc.Status` that holds a `RetryInfo`, four small messages, which are encoded here.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// A status code of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    PermissionDenied = 7,
    ResourceExhausted = 8,
    Unavailable = 14,
}

/// Returns whether a request is one of gRPC, or of gRPC-Web.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let named = b"application/grpc";
    kind.len() >= named.len() && kind[..named.len()].eq_ignore_ascii_case(named)
}

/// Makes a response of trailers only. `message` is printable ASCII without a percent sign.
pub(crate) fn response(
    code: Code,
    message: &'static str,
    retry_after: Option<Duration>,
) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(STATUS, (code as u32).into());
    headers.insert(MESSAGE, HeaderValue::from_static(message));
    if let Some(wait) = retry_after {
        let details = base64(&status(code, message, wait));
        if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(details)) {
            headers.insert(DETAILS, value);
        }
    }
    response
}

/// Encodes a `google.rpc.Status` with a `RetryInfo`.
fn status(code: Code, message: &str, wait: Duration) -> Vec<u8> {
    let mut delay = Vec::new();
    integer(&mut delay, 1, wait.as_secs().min(i64::MAX as u64));
    integer(&mut delay, 2, u64::from(wait.subsec_nanos()));
    let mut info = Vec::new();
    bytes(&mut info, 1, &delay);
    let mut any = Vec::new();
    bytes(&mut any, 1, RETRY_INFO.as_bytes());
    bytes(&mut any, 2, &info);
    let mut status = Vec::new();
    integer(&mut status, 1, code as u64);
    bytes(&mut status, 2, message.as_bytes());
    bytes(&mut status, 3, &any);
    status
}

/// Appends a field of a number, unless it is zero, which is what an absent field says.
fn integer(message: &mut Vec<u8>, field: u8, number: u64) {
    if number != 0 {
        message.push(field << 3);
        varint(message, number);
    }
}

/// Appends a field of bytes, text or another message.
fn bytes(message: &mut Vec<u8>, field: u8, value: &[u8]) {
    message.push(field << 3 | 2);
    varint(message, value.len() as u64);
    message.extend_from_slice(value);
}

fn varint(message: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        message.push(number as u8 | 0x80);
        number >>= 7;
    }
    message.push(number as u8);
}

/// Encodes bytes as metadata has them: in base64, without padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..=group.len() as u32 {
            text.push(DIGITS[(bits >> (18 - 6 * at) & 63) as usize].into());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_has_no_padding() {
        // The examples of RFC 4648, 10.
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
            ("fooba", "Zm9vYmE"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xbf]), "+/+/");
    }

    #[test]
    fn only_the_type_of_grpc_is_grpc() {
        let of = |kind: &'static str| {
            is_grpc(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]))
        };
        assert!(of("application/grpc") && of("application/grpc+proto") && of("Application/gRPC"));
        assert!(of("application/grpc-web"));
        assert!(!of("application/json") && !of("application/gr") && !of(""));
        assert!(!is_grpc(&HeaderMap::new()));
    }
}
