//! The client: the field of a line that must be an address or the name of a host.

use std::net::Ipv6Addr;

use super::super::entry::Reason;

/// Returns the field of a client: empty if it is `-`.
///
/// # Errors
///
/// Fails if the field is no address and no name, with or without a port, and no list of them.
pub(super) fn client(field: &[u8]) -> Result<&[u8], Reason> {
    if is_ipv4(field) {
        return Ok(field);
    }
    if matches!(field, b"" | b"-") {
        return Ok(b"");
    }
    // nginx writes `unix:` for a client on a socket of the machine.
    if field == b"unix:" || is_list(field) {
        return Ok(field);
    }
    Err("the client is neither an address nor the name of a host")
}

/// Splits off the first field, which is a client: it ends at a blank, but not at one after a comma.
pub(super) fn split_client(text: &[u8]) -> (&[u8], &[u8]) {
    let mut end = 0;
    loop {
        end += memchr::memchr(b' ', &text[end..]).unwrap_or(text.len() - end);
        if end == text.len() {
            return (text, b"");
        }
        if end == 0 || text[end - 1] != b',' {
            return (&text[..end], &text[end + 1..]);
        }
        end += 1;
    }
}

/// Returns whether the text lists addresses and names of hosts, as `X-Forwarded-For` does.
pub(super) fn is_list(text: &[u8]) -> bool {
    text.split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .all(|item| item == b"-" || is_host(item))
}

/// Returns whether the text is an address or the name of a host, with or without a port.
pub(super) fn is_host(text: &[u8]) -> bool {
    is_address(text) || is_name(without_port(text))
}

/// Returns whether the text is an address, with or without a port.
pub(super) fn is_address(text: &[u8]) -> bool {
    match text {
        // `[2001:db8::1]`, `[2001:db8::1]:443`
        [b'[', rest @ ..] => match memchr::memchr(b']', rest) {
            Some(end) => is_ipv6(&rest[..end]) && without_port(&rest[end + 1..]).is_empty(),
            None => false,
        },
        _ => is_ipv4(without_port(text)) || is_ipv6(text),
    }
}

/// Returns whether the text has a port after its last colon.
pub(super) fn has_port(text: &[u8]) -> bool {
    without_port(text).len() < text.len() && !is_ipv6(text)
}

/// Cuts off the port after the last colon, if what stands there is a number.
fn without_port(text: &[u8]) -> &[u8] {
    let digits = text.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    match text[..text.len() - digits].split_last() {
        Some((b':', host)) if (1..=5).contains(&digits) => host,
        _ => text,
    }
}

/// Returns whether the text is four numbers up to 255. The function reads bytes and not a `str`,
/// because most clients are IPv4 and every line has one.
fn is_ipv4(text: &[u8]) -> bool {
    if text.len() > "255.255.255.255".len() {
        return false;
    }
    let (mut numbers, mut digits, mut number) = (1, 0, 0_u32);
    for &byte in text {
        match byte {
            b'0'..=b'9' => {
                digits += 1;
                number = number * 10 + u32::from(byte - b'0');
                if number > 255 || digits > 3 {
                    return false;
                }
            }
            b'.' if digits > 0 => {
                numbers += 1;
                (digits, number) = (0, 0);
            }
            _ => return false,
        }
    }
    numbers == 4 && digits > 0
}

/// Returns whether the text is an IPv6 address, with or without a zone.
fn is_ipv6(text: &[u8]) -> bool {
    let (address, zone) = match memchr::memchr(b'%', text) {
        Some(percent) => (&text[..percent], &text[percent + 1..]),
        None => (text, &b"0"[..]),
    };
    // The longest is `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`.
    address.len() <= 45
        && memchr::memchr(b':', address).is_some()
        && std::str::from_utf8(address).is_ok_and(|address| address.parse::<Ipv6Addr>().is_ok())
        && !zone.is_empty()
        && zone.iter().all(|byte| byte.is_ascii_graphic())
}

/// Returns whether the text is a name of a host: letters, digits, points, hyphens and underscores,
/// of which at least one is a letter. Names of containers have underscores.
fn is_name(text: &[u8]) -> bool {
    text.len() <= 253
        && text.iter().any(u8::is_ascii_alphabetic)
        && text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}
