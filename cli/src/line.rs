//! One line of an access log in Common or Combined Log Format, as Apache and nginx write it:
//!
//! ```text
//! 203.0.113.9 - alice [17/May/2015:10:05:03 +0000] "GET /cart?id=1 HTTP/1.1" 200 2326 "..." "..."
//! ```
//!
//! A line counts when it has a client and a timestamp. The rest is looked at only by who needs it.

use std::net::{IpAddr, Ipv6Addr};

use chrono::DateTime;

/// The parts of a line. Nothing in them has been checked but `time`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    pub(crate) client: &'a str,
    user: Option<&'a str>,
    /// Seconds since 1970.
    pub(crate) time: i64,
    /// What follows the timestamp.
    rest: &'a str,
}

impl<'a> Line<'a> {
    /// Takes a line apart, or says what it lacks.
    pub(crate) fn parse(line: &'a str) -> Result<Self, &'static str> {
        let (head, tail) = line.split_once('[').ok_or("no timestamp")?;
        let mut fields = head.splitn(3, ' ');
        let client = fields.next().filter(|client| !client.is_empty()).ok_or("no client")?;
        let user = fields.nth(1).map(str::trim_end).filter(|user| !user.is_empty());
        let (time, rest) = tail.split_once(']').ok_or("no end of the timestamp")?;
        let time = DateTime::parse_from_str(time, "%d/%b/%Y:%H:%M:%S %z")
            .map_err(|_| "a timestamp unlike 17/May/2015:10:05:03 +0000")?;
        Ok(Self { client, user, time: time.timestamp(), rest: rest.trim_start() })
    }

    /// The authenticated user; `-` if there was none.
    pub(crate) fn user(&self) -> Result<&'a str, &'static str> {
        self.user.ok_or("no user")
    }

    /// The path of the request, without the query.
    pub(crate) fn path(&self) -> Result<&'a str, &'static str> {
        let (request, _) = self.request()?;
        let path = request.split(' ').nth(1).ok_or("a request without a path")?;
        Ok(path.split(['?', '#']).next().unwrap_or(path))
    }

    /// The bytes sent; `-` is none.
    pub(crate) fn bytes(&self) -> Result<u64, &'static str> {
        let (_, after) = self.request()?;
        match after.split_ascii_whitespace().nth(1).ok_or("no size")? {
            "-" => Ok(0),
            size => size.parse().map_err(|_| "a size that is not a number"),
        }
    }

    /// The request between its quotes, in which `\"` is no end, and what follows.
    fn request(&self) -> Result<(&'a str, &'a str), &'static str> {
        let quoted = self.rest.strip_prefix('"').ok_or("no request")?;
        let mut escaped = false;
        let end = quoted.bytes().position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let end = end.ok_or("no end of the request")?;
        Ok((&quoted[..end], &quoted[end + 1..]))
    }
}

/// The client as a key: IPv6 addresses by their first `prefix` bits, since one host has many; IPv4
/// in IPv6 clothing as IPv4.
pub(crate) fn client_key(client: &str, prefix: u8) -> String {
    match client.parse() {
        Ok(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
            Some(address) => address.to_string(),
            None => {
                let shift = 128 - u32::from(prefix);
                let mask = u128::MAX.checked_shl(shift).unwrap_or(0);
                let network = Ipv6Addr::from_bits(address.to_bits() & mask);
                if prefix == 128 { network.to_string() } else { format!("{network}/{prefix}") }
            }
        },
        _ => client.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Line, client_key};

    const COMMON: &str =
        r#"203.0.113.9 - alice [17/May/2015:10:05:03 +0200] "GET /a/b?c=d HTTP/1.1" 200 2326"#;

    #[test]
    fn a_common_line_comes_apart() {
        let line = Line::parse(COMMON).expect("a line");
        assert_eq!((line.client, line.user()), ("203.0.113.9", Ok("alice")));
        assert_eq!(line.time, 1_431_849_903);
        assert_eq!((line.path(), line.bytes()), (Ok("/a/b"), Ok(2326)));
    }

    #[test]
    fn a_combined_line_with_quotes_in_the_request_comes_apart() {
        let line = concat!(
            r#"::1 - - [17/May/2015:10:05:03 +0000] "GET /\"quoted\" HTTP/1.0" 304 - "#,
            r#""http://x/\"" "agent [1] \"2\"""#
        );
        let line = Line::parse(line).expect("a line");
        assert_eq!(
            (line.path(), line.bytes(), line.user()),
            (Ok("/\\\"quoted\\\""), Ok(0), Ok("-"))
        );
    }

    #[test]
    fn a_user_may_have_spaces() {
        let line = Line::parse("h - John Doe [17/May/2015:10:05:03 +0000] x").expect("a line");
        assert_eq!(line.user(), Ok("John Doe"));
    }

    #[test]
    fn what_nobody_asks_for_may_be_missing() {
        let line = Line::parse("host [17/May/2015:10:05:03 +0000]").expect("a line");
        assert_eq!(line.client, "host");
        assert!(line.user().is_err() && line.path().is_err() && line.bytes().is_err());
        let line = Line::parse("host - - [17/May/2015:10:05:03 +0000] \"\\x16\\x03\" 400 x");
        let line = line.expect("a line");
        assert_eq!(line.path(), Err("a request without a path"));
        assert_eq!(line.bytes(), Err("a size that is not a number"));
    }

    #[test]
    fn lines_that_do_not_count_say_why() {
        for (line, reason) in [
            ("", "no timestamp"),
            ("garbage", "no timestamp"),
            (" - - [17/May/2015:10:05:03 +0000]", "no client"),
            ("h - - [17/May/2015:10:05:03 +0000", "no end of the timestamp"),
            ("h - - [yesterday]", "a timestamp unlike 17/May/2015:10:05:03 +0000"),
            ("h - - [32/May/2015:10:05:03 +0000]", "a timestamp unlike 17/May/2015:10:05:03 +0000"),
        ] {
            assert_eq!(Line::parse(line), Err(reason), "{line}");
        }
    }

    #[test]
    fn clients_are_grouped_by_their_network() {
        for (client, prefix, key) in [
            ("203.0.113.9", 64, "203.0.113.9"),
            ("2001:db8:1:2:3:4:5:6", 64, "2001:db8:1:2::/64"),
            ("2001:db8:1:2:3:4:5:6", 48, "2001:db8:1::/48"),
            ("2001:db8:1:2:3:4:5:6", 128, "2001:db8:1:2:3:4:5:6"),
            ("2001:db8:1:2:3:4:5:6", 0, "::/0"),
            ("::ffff:203.0.113.9", 64, "203.0.113.9"),
            ("crawler.example.org", 64, "crawler.example.org"),
        ] {
            assert_eq!(client_key(client, prefix), key);
        }
    }
}
