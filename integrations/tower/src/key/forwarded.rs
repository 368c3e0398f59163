//! What proxies say about the client: `X-Forwarded-For` and the like, and `Forwarded` (RFC 7239).
//!
//! Every proxy appends to the right what it has seen. What stands left of that came from the client, which
//! may have made it up. So a field is read from the right, one element at a time, and nothing further
//! left is looked at before it is needed: no text of a client, such as a quote that does not end,
//! changes how the elements to the right of it are read.

use std::net::{IpAddr, Ipv4Addr};

/// Yields the elements of a list field from the last line's last one to the first line's first one.
/// Leaves out empty ones.
pub(super) struct FromRight<'a, L> {
    lines: L,
    /// What is left of the line.
    line: &'a [u8],
    /// Whether a comma may be in a quoted string.
    has_quotes: bool,
}

impl<'a, L: Iterator<Item = &'a [u8]>> FromRight<'a, L> {
    /// Makes the iterator of a field whose `lines` come from the last one to the first.
    pub(super) fn new(lines: L, has_quotes: bool) -> Self {
        Self { lines, line: &[], has_quotes }
    }

    /// Takes the last element off the line.
    fn last(&mut self) -> &'a [u8] {
        let (rest, element) = match comma(self.line, self.has_quotes) {
            Some(at) => (&self.line[..at], &self.line[at + 1..]),
            None => (&[][..], self.line),
        };
        self.line = rest;
        element.trim_ascii()
    }
}

impl<'a, L: Iterator<Item = &'a [u8]>> Iterator for FromRight<'a, L> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            if self.line.is_empty() {
                self.line = self.lines.next()?;
            }
            let element = self.last();
            if !element.is_empty() {
                return Some(element);
            }
        }
    }
}

/// Returns where the last comma of `line` is, outside quoted strings if these may be in it.
fn comma(line: &[u8], has_quotes: bool) -> Option<usize> {
    let mut end = line.len();
    loop {
        let at = line[..end].iter().rposition(|&byte| matches!(byte, b',' | b'"'))?;
        end = match line[at] {
            b'"' if has_quotes => opening(&line[..at])?,
            b'"' => at,
            _ => return Some(at),
        };
    }
}

/// Returns where the quoted string begins whose closing quote followed `text`.
fn opening(text: &[u8]) -> Option<usize> {
    let mut end = text.len();
    loop {
        let at = text[..end].iter().rposition(|&byte| byte == b'"')?;
        let escapes = text[..at].iter().rev().take_while(|&&byte| byte == b'\\').count();
        if escapes % 2 == 0 {
            return Some(at);
        }
        end = at - escapes;
    }
}

/// Returns the value of `for` in an element of `Forwarded`, or `None` if the element is malformed, or
/// names no or several values.
pub(super) fn forwarded_for(element: &[u8]) -> Option<&[u8]> {
    let (mut rest, mut found) = (element, None);
    loop {
        let equals = rest.iter().position(|&byte| byte == b'=')?;
        let name = rest[..equals].trim_ascii();
        let (value, after) = value(rest[equals + 1..].trim_ascii_start())?;
        if name.eq_ignore_ascii_case(b"for") && found.replace(value).is_some() {
            return None;
        }
        rest = match after.trim_ascii_start() {
            [] => return found,
            [b';', rest @ ..] => rest,
            _ => return None,
        };
    }
}

/// Splits a token or a quoted string from what comes after it. Escapes are left as they are: no address
/// has one.
fn value(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if let [b'"', quoted @ ..] = text {
        let mut end = 0;
        loop {
            match quoted.get(end)? {
                b'"' => return Some((&quoted[..end], &quoted[end + 1..])),
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
    }
    let end = text.iter().position(|&byte| byte == b';').unwrap_or(text.len());
    Some((text[..end].trim_ascii_end(), &text[end..]))
}

/// Returns the address of a node: an address of either family, with brackets or without, with a port
/// or without. `unknown` and obfuscated names have none.
pub(super) fn node(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    if let Some(bracketed) = text.strip_prefix('[') {
        let (address, after) = bracketed.split_once(']')?;
        let is_followed_well = after.is_empty() || after.strip_prefix(':').is_some_and(is_port);
        return is_followed_well.then(|| address.parse().ok().map(IpAddr::V6))?;
    }
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let (address, port) = text.rsplit_once(':')?;
    let address: Ipv4Addr = address.parse().ok()?;
    is_port(port).then_some(IpAddr::V4(address))
}

/// Returns whether `text` is a port, or an obfuscated one.
fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(name) => {
            let may_be = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
            !name.is_empty() && name.as_bytes().iter().all(may_be)
        }
        None => (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements<'a>(lines: &[&'a str], has_quotes: bool) -> Vec<&'a str> {
        let lines = lines.iter().rev().map(|line| line.as_bytes());
        let elements = FromRight::new(lines, has_quotes);
        elements.map(|element| std::str::from_utf8(element).expect("text")).collect()
    }

    #[test]
    fn elements_come_from_the_right() {
        assert_eq!(elements(&["a, b,c"], false), ["c", "b", "a"]);
        assert_eq!(elements(&["a,b", "", "c"], false), ["c", "b", "a"]);
        assert_eq!(elements(&[" ,, a ,\t, "], false), ["a"]);
        assert_eq!(elements(&[], false), [""; 0]);
    }

    #[test]
    fn a_comma_in_quotes_separates_nothing() {
        let line = r#"for="a,b";by=c, for="d\",e\\", for=f"#;
        assert_eq!(elements(&[line], true), ["for=f", r#"for="d\",e\\""#, r#"for="a,b";by=c"#]);
    }

    #[test]
    fn a_quote_that_does_not_end_changes_nothing_to_its_right() {
        let line = r#"for="evil, for=192.0.2.1, for="[2001:db8::1]:80""#;
        let mut elements = elements(&[line], true).into_iter();
        assert_eq!(elements.next(), Some(r#"for="[2001:db8::1]:80""#));
        assert_eq!(elements.next(), Some("for=192.0.2.1"));
    }

    #[test]
    fn the_examples_of_the_standard() {
        let read = |element: &str| forwarded_for(element.as_bytes()).and_then(node);
        let address = |text: &str| Some(text.parse::<IpAddr>().expect("an address"));
        assert_eq!(read(r#"for="_gazonk""#), None);
        assert_eq!(read(r#"For="[2001:db8:cafe::17]:4711""#), address("2001:db8:cafe::17"));
        assert_eq!(read("for=192.0.2.60;proto=http;by=203.0.113.43"), address("192.0.2.60"));
        assert_eq!(read("for=unknown"), None);
        assert_eq!(read(r#"for="192.0.2.43:47011""#), address("192.0.2.43"));
        assert_eq!(read(r#"for="192.0.2.43:_http""#), address("192.0.2.43"));
        assert_eq!(read(r#"by="a;for=1.1.1.1";FOR = 192.0.2.7"#), address("192.0.2.7"));
    }

    #[test]
    fn a_malformed_element_says_nothing() {
        for element in [
            "",
            "for",
            "for=",
            "for=1.1.1.1;for=2.2.2.2",
            r#"for="1.1.1.1"#,
            r#"for="1.1.1.1"x"#,
            r#"for="1.1.\1.1""#,
            "by=1.1.1.1",
            "for=1.1.1.1;",
        ] {
            assert_eq!(forwarded_for(element.as_bytes()).and_then(node), None, "{element}");
        }
        assert_eq!(node(b"\xff1.1.1.1"), None);
    }

    #[test]
    fn nodes_are_addresses_with_or_without_a_port() {
        for (text, address) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("192.0.2.1:443", Some("192.0.2.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("[2001:db8::1]:_a.b-c", Some("2001:db8::1")),
            ("[2001:db8::1]:", None),
            ("[2001:db8::1]443", None),
            ("[192.0.2.1]", None),
            ("192.0.2.1:", None),
            ("192.0.2.1:_", None),
            ("192.0.2.1:123456", None),
            ("192.0.2.256", None),
            ("fe80::1%eth0", None),
            ("unknown", None),
            ("_hidden", None),
        ] {
            let expected = address.map(|address: &str| address.parse::<IpAddr>().expect("one"));
            assert_eq!(node(text.as_bytes()), expected, "{text}");
        }
    }
}
