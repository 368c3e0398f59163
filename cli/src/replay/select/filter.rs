//! `--only` and `--except`: which requests are looked at.

use std::ops::RangeInclusive;

use regex::bytes::{Regex, RegexBuilder};

use super::address::Network;
use super::client::Client;
use super::path::is_asset;
use crate::failure::Failure;

/// The most memory that one regular expression may take, compiled.
const LARGEST_EXPRESSION: usize = 1 << 20;

/// The parts of a request that the filters look at. A part that the line lacks matches no filter.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen<'a> {
    pub(super) path: Option<&'a [u8]>,
    pub(super) method: &'a [u8],
    pub(super) status: Option<u16>,
    pub(super) client: Option<Client<'a>>,
}

/// The filters of a command.
#[derive(Debug, Default)]
pub(super) struct Filters {
    only: Vec<Filter>,
    except: Vec<Filter>,
}

/// What a filter looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Path,
    Method,
    Status,
    Address,
}

#[derive(Debug)]
enum Filter {
    Prefix(Vec<u8>),
    Expression(Regex),
    Assets,
    Methods(Vec<Vec<u8>>),
    Statuses(Vec<RangeInclusive<u16>>),
    Networks(Vec<Network>),
}

const FIELDS: [Field; 4] = [Field::Path, Field::Method, Field::Status, Field::Address];

impl Filters {
    /// Reads the words of every `--only` and `--except`.
    ///
    /// # Errors
    ///
    /// Fails with one line that names the option and its words.
    pub(super) fn parse(only: &[String], except: &[String]) -> Result<Self, Failure> {
        let all = |option: &str, words: &[String]| {
            let each = words.iter().map(|words| {
                Filter::parse(words)
                    .map_err(|reason| Failure::new(format_args!("{option} {words}"), reason))
            });
            each.collect::<Result<Vec<_>, _>>()
        };
        Ok(Self { only: all("--only", only)?, except: all("--except", except)? })
    }

    /// Returns whether any filter looks at the field.
    pub(super) fn look_at(&self, field: Field) -> bool {
        self.only.iter().chain(&self.except).any(|filter| filter.field() == field)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.only.is_empty() && self.except.is_empty()
    }

    /// Returns whether a request passes. Of the `--only` filters for a field, if there are any, one
    /// must match. No `--except` filter may match.
    pub(super) fn pass(&self, seen: &Seen<'_>) -> bool {
        let holds = |field| {
            let mut of_field = self.only.iter().filter(|filter| filter.field() == field).peekable();
            of_field.peek().is_none() || of_field.any(|filter| filter.matches(seen))
        };
        FIELDS.into_iter().all(holds) && !self.except.iter().any(|filter| filter.matches(seen))
    }
}

impl Filter {
    /// Reads a filter, or says what is wrong with it.
    fn parse(words: &str) -> Result<Self, String> {
        if words == "static" {
            return Ok(Self::Assets);
        }
        let at = words.find(['=', '~']).ok_or_else(|| {
            "not of the form path=PREFIX, path~REGEX, method=GET,POST, status=4xx,200-299 or \
             address=192.0.2.0/24, nor \"static\""
                .to_owned()
        })?;
        let (field, value) = (&words[..at], &words[at + 1..]);
        if value.is_empty() {
            return Err("nothing to compare with".to_owned());
        }
        let list = || value.split(',').map(str::trim);
        match (field, words.as_bytes()[at]) {
            ("path", b'=') => Ok(Self::Prefix(value.as_bytes().to_vec())),
            ("path", _) => expression(value).map(Self::Expression),
            ("method", b'=') => list().map(method).collect::<Result<_, _>>().map(Self::Methods),
            ("status", b'=') => list().map(statuses).collect::<Result<_, _>>().map(Self::Statuses),
            ("address", b'=') => {
                list().map(Network::parse).collect::<Result<_, _>>().map(Self::Networks)
            }
            ("method" | "status" | "address", _) => Err(format!("~ is for path; write {field}=")),
            _ => Err(format!("unknown field \"{field}\": path, method, status or address")),
        }
    }

    fn field(&self) -> Field {
        match self {
            Self::Prefix(_) | Self::Expression(_) | Self::Assets => Field::Path,
            Self::Methods(_) => Field::Method,
            Self::Statuses(_) => Field::Status,
            Self::Networks(_) => Field::Address,
        }
    }

    fn matches(&self, seen: &Seen<'_>) -> bool {
        match self {
            Self::Prefix(prefix) => seen.path.is_some_and(|path| path.starts_with(prefix)),
            Self::Expression(expression) => seen.path.is_some_and(|path| expression.is_match(path)),
            Self::Assets => seen.path.is_some_and(is_asset),
            Self::Methods(methods) => methods.iter().any(|method| method == seen.method),
            Self::Statuses(ranges) => {
                seen.status.is_some_and(|status| ranges.iter().any(|range| range.contains(&status)))
            }
            Self::Networks(networks) => match seen.client {
                Some(Client::Address(address)) => {
                    networks.iter().any(|network| network.contains(address))
                }
                _ => false,
            },
        }
    }
}

fn expression(words: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(words).size_limit(LARGEST_EXPRESSION).build();
    built.map_err(|error| {
        // The last line says what is wrong; those before it show the place.
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default().trim();
        format!("no regular expression: {}", reason.strip_prefix("error: ").unwrap_or(reason))
    })
}

fn method(words: &str) -> Result<Vec<u8>, String> {
    // Methods are in upper case: by `get` a user means `GET`.
    match !words.is_empty() && words.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-')
    {
        true => Ok(words.to_ascii_uppercase().into_bytes()),
        false => Err(format!("\"{words}\" is no method")),
    }
}

/// Reads `429`, `4xx` or `200-299`.
fn statuses(words: &str) -> Result<RangeInclusive<u16>, String> {
    let wrong = || format!("\"{words}\" is no status as 429, 4xx or 200-299");
    let number = |words: &str| match words.len() == 3 && words.bytes().all(|b| b.is_ascii_digit()) {
        true => words.parse::<u16>().map_err(|_| wrong()),
        false => Err(wrong()),
    };
    if let Some(class) = words.strip_suffix("xx").or_else(|| words.strip_suffix("XX")) {
        let first = number(&format!("{class}00"))?;
        return Ok(first..=first + 99);
    }
    match words.split_once('-') {
        None => number(words).map(|status| status..=status),
        Some((first, last)) => {
            let (first, last) = (number(first)?, number(last)?);
            if first <= last { Ok(first..=last) } else { Err(wrong()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::super::client::Client;
    use super::{Filters, Seen};

    fn filters(only: &[&str], except: &[&str]) -> Filters {
        let owned =
            |words: &[&str]| words.iter().map(|&words| words.to_owned()).collect::<Vec<_>>();
        Filters::parse(&owned(only), &owned(except)).expect("filters")
    }

    fn seen<'a>(method: &'a str, path: &'a str, status: u16, address: &str) -> Seen<'a> {
        let address: IpAddr = address.parse().expect("an address");
        Seen {
            path: Some(path.as_bytes()),
            method: method.as_bytes(),
            status: Some(status),
            client: Some(Client::Address(address)),
        }
    }

    #[test]
    fn each_field_is_looked_at() {
        let request = seen("POST", "/api/items", 429, "192.0.2.7");
        for (filter, matches) in [
            ("path=/api", true),
            ("path=/api/items/", false),
            ("path=/API", false),
            ("path~^/api/[a-z]+$", true),
            ("path~=", false),
            ("path~items|x", true),
            ("method=POST", true),
            ("method=get, post", true),
            ("method=GET", false),
            ("status=429", true),
            ("status=4xx", true),
            ("status=4XX", true),
            ("status=200-299,429", true),
            ("status=400-428", false),
            ("status=5xx", false),
            ("address=192.0.2.0/24", true),
            ("address=192.0.2.7", true),
            ("address=198.51.100.0/24,192.0.2.7", true),
            ("address=2001:db8::/32", false),
            ("static", false),
        ] {
            assert_eq!(filters(&[filter], &[]).pass(&request), matches, "--only {filter}");
            assert_eq!(filters(&[], &[filter]).pass(&request), !matches, "--except {filter}");
        }
        assert!(!filters(&[], &["static"]).pass(&seen("GET", "/a.css", 200, "192.0.2.7")));
    }

    #[test]
    fn alternatives_are_of_one_field_and_exceptions_win() {
        let both = filters(&["path=/a", "path=/b", "method=GET"], &["path=/a/c", "status=5xx"]);
        for (method, path, status, passes) in [
            ("GET", "/a", 200, true),
            ("GET", "/b", 200, true),
            ("GET", "/c", 200, false),
            ("POST", "/a", 200, false),
            ("GET", "/a/c", 200, false),
            ("GET", "/a", 500, false),
        ] {
            assert_eq!(
                both.pass(&seen(method, path, status, "::1")),
                passes,
                "{method} {path} {status}"
            );
        }
        assert!(filters(&[], &[]).pass(&Seen::default()));
    }

    #[test]
    fn what_a_line_lacks_matches_nothing() {
        for filter in
            ["path=/", "path~.*", "static", "method=GET", "status=200-599", "address=::/0"]
        {
            assert!(!filters(&[filter], &[]).pass(&Seen::default()), "{filter}");
            assert!(filters(&[], &[filter]).pass(&Seen::default()), "{filter}");
        }
        // A name is of no network.
        let named = Seen { client: Some(Client::Name(b"h")), ..Seen::default() };
        assert!(!filters(&["address=0.0.0.0/0"], &[]).pass(&named));
    }

    #[test]
    fn a_mistake_names_the_option_and_the_field() {
        for (words, says) in [
            ("", "not of the form"),
            ("assets", "not of the form"),
            ("path=", "nothing to compare with"),
            ("size=3", "unknown field \"size\""),
            ("path~(", "no regular expression: unclosed group"),
            ("path~(?:a{9999}){9999}", "no regular expression: "),
            ("method~GET", "write method="),
            ("method=GET,,", "\"\" is no method"),
            ("status=99", "\"99\" is no status"),
            ("status=4x", "\"4x\" is no status"),
            ("status=xx", "\"xx\" is no status"),
            ("status=300-200", "\"300-200\" is no status"),
            ("status=+20", "\"+20\" is no status"),
            ("status=70000", "is no status"),
            ("address=192.0.2.0/33", "at most 32 bits"),
            ("address=x", "\"x\" is neither an address nor a network"),
        ] {
            let option = |only: &[String], except: &[String]| {
                Filters::parse(only, except).expect_err(words).0
            };
            let words = [words.to_owned()];
            let failure = option(&words, &[]);
            assert!(failure.starts_with(&format!("--only {}: ", words[0])), "{failure}");
            assert!(failure.contains(says) && !failure.contains('\n'), "{failure}");
            assert!(option(&[], &words).starts_with("--except "));
        }
    }
}
