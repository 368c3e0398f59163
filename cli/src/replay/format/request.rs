//! The line of a request: `GET /a?b=c HTTP/1.1`.

/// Splits a request into its method and its target. Both are empty if the text is no request,
/// such as the `-` of a connection without one, or the beginning of a TLS handshake.
pub(super) fn split_request(request: &[u8]) -> (&[u8], &[u8]) {
    let Some(blank) = memchr::memchr(b' ', request) else { return (b"", b"") };
    let (method, rest) = (&request[..blank], &request[blank + 1..]);
    // Load balancers write `- - - ` where there was no request.
    if method == b"-" {
        return (b"", b"");
    }
    // The target may have raw blanks: it ends at the last one, before the version.
    let target = match memchr::memrchr(b' ', rest) {
        Some(blank) if rest[blank + 1..].starts_with(b"HTTP/") => &rest[..blank],
        _ if rest.starts_with(b"HTTP/") => b"",
        _ => rest,
    };
    match target.trim_ascii() {
        b"" | b"-" => (b"", b""),
        target => (method, target),
    }
}
