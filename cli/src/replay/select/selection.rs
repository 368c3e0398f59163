//! The choice that a command makes: filters, then the key, then the cost.

use std::borrow::Cow;

use super::super::entry::{Entry, Reason, Wanted};
use super::client::{ClientField, ClientRule};
use super::filter::{Field, Filters, Seen};
use super::path::path;
use super::{Select, Selected};
use crate::failure::Failure;

/// What has a bucket of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Key {
    /// The address, IPv6 by its network
    #[default]
    Client,
    /// The path of the request, without the query
    Path,
    /// A client and a path
    #[value(name = "client+path")]
    ClientPath,
    /// The authenticated user
    User,
}

/// What a request costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Cost {
    /// A cell
    #[default]
    #[value(name = "1")]
    One,
    /// A cell for each byte sent
    Bytes,
}

/// Which requests count, under which key, at what cost.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    key: Key,
    cost: Cost,
    client: ClientRule,
    filters: Filters,
}

impl Selection {
    /// Creates a selection. `only` and `except` are the words of `--only` and `--except`.
    ///
    /// # Errors
    ///
    /// Fails with one line that names the option that is wrong.
    pub(crate) fn new(
        key: Key,
        cost: Cost,
        client: ClientRule,
        only: &[String],
        except: &[String],
    ) -> Result<Self, Failure> {
        if client.ipv6_prefix > 128 {
            let option = format_args!("--ipv6-prefix {}", client.ipv6_prefix);
            return Err(Failure::new(option, "an IPv6 address has 128 bits"));
        }
        Ok(Self { key, cost, client, filters: Filters::parse(only, except)? })
    }

    fn needs_client(&self) -> bool {
        matches!(self.key, Key::Client | Key::ClientPath) || self.filters.look_at(Field::Address)
    }

    fn needs_path(&self) -> bool {
        matches!(self.key, Key::Path | Key::ClientPath) || self.filters.look_at(Field::Path)
    }
}

impl Select for Selection {
    fn wanted(&self) -> Wanted {
        Wanted {
            forwarded: self.client.field == ClientField::Forwarded && self.needs_client(),
            user: self.key == Key::User,
            request: self.needs_path() || self.filters.look_at(Field::Method),
            status: self.filters.look_at(Field::Status),
            bytes: self.cost == Cost::Bytes,
        }
    }

    fn lacks(&self) -> &'static str {
        match self.key {
            Key::Client | Key::Path | Key::ClientPath => "client",
            Key::User => "user",
        }
    }

    #[inline]
    fn select(&self, entry: &Entry<'_>, key: &mut Vec<u8>) -> Result<Selected, Reason> {
        let client = if self.needs_client() { self.client.client(entry)? } else { None };
        let has_path = self.needs_path() && !entry.target.is_empty();
        let path = has_path.then(|| path(&entry.target));
        if !self.filters.is_empty() {
            let (path, method) = (path.as_deref(), &*entry.method);
            if !self.filters.pass(&Seen { path, method, status: entry.status, client }) {
                return Ok(Selected::LeftOut);
            }
        }
        let path_of = |path: Option<Cow<'_, [u8]>>, key: &mut Vec<u8>| {
            key.extend_from_slice(&path.ok_or("a request without a path")?);
            Ok::<_, Reason>(())
        };
        match (self.key, client) {
            (Key::Client, Some(client)) => self.client.write(client, key),
            (Key::ClientPath, Some(client)) => {
                self.client.write(client, key);
                // No client has a blank in it.
                key.push(b' ');
                path_of(path, key)?;
            }
            (Key::Client | Key::ClientPath, None) => return Ok(Selected::WithoutKey),
            (Key::Path, _) => path_of(path, key)?,
            (Key::User, _) => match entry.user.trim_ascii() {
                b"" | b"-" => return Ok(Selected::WithoutKey),
                user => key.extend_from_slice(user),
            },
        }
        Ok(Selected::Counts(match self.cost {
            Cost::One => 1,
            Cost::Bytes => entry.bytes.ok_or("no size")?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::super::entry::{Entry, Reason, Wanted};
    use super::super::{ClientField, ClientRule, Select, Selected};
    use super::{Cost, Key, Selection};

    const NOTHING: Wanted =
        Wanted { forwarded: false, user: false, request: false, status: false, bytes: false };

    fn entry<'a>(client: &'a str, user: &'a str, target: &'a str) -> Entry<'a> {
        let bytes = |text: &'a str| Cow::Borrowed(text.as_bytes());
        Entry {
            client: bytes(client),
            user: bytes(user),
            method: Cow::Borrowed(b"GET"),
            target: bytes(target),
            status: Some(200),
            bytes: Some(2_326),
            ..Entry::default()
        }
    }

    fn selection(key: Key, cost: Cost, only: &[&str], except: &[&str]) -> Selection {
        let owned =
            |words: &[&str]| words.iter().map(|&words| words.to_owned()).collect::<Vec<_>>();
        Selection::new(key, cost, ClientRule::default(), &owned(only), &owned(except))
            .expect("a selection")
    }

    fn select(selection: &Selection, entry: &Entry<'_>) -> Result<(Selected, String), Reason> {
        let mut key = Vec::new();
        let selected = selection.select(entry, &mut key)?;
        Ok((selected, String::from_utf8(key).expect("text")))
    }

    #[test]
    fn keys_and_costs_are_what_was_asked_for() {
        let entry = entry("203.0.113.9:4000", "John Doe", "/a b?c=d");
        for (key, cost, expected, cells) in [
            (Key::Client, Cost::One, "203.0.113.9", 1),
            (Key::Path, Cost::One, "/a b", 1),
            (Key::ClientPath, Cost::Bytes, "203.0.113.9 /a b", 2_326),
            (Key::User, Cost::Bytes, "John Doe", 2_326),
        ] {
            let selected = select(&selection(key, cost, &[], &[]), &entry);
            assert_eq!(selected, Ok((Selected::Counts(cells), expected.to_owned())));
        }
    }

    #[test]
    fn what_has_no_key_is_not_counted() {
        for user in ["", "-", " - "] {
            let entry = entry("-", user, "/");
            for key in [Key::User, Key::Client, Key::ClientPath] {
                let selected = select(&selection(key, Cost::One, &[], &[]), &entry);
                assert_eq!(
                    selected.map(|(selected, _)| selected),
                    Ok(Selected::WithoutKey),
                    "{key:?}"
                );
            }
        }
    }

    #[test]
    fn a_malformed_request_matters_only_to_a_key_that_needs_it() {
        let mut entry = entry("203.0.113.9", "", "");
        entry.bytes = None;
        let by = |key, cost| select(&selection(key, cost, &[], &[]), &entry);
        assert!(by(Key::Client, Cost::One).is_ok());
        assert_eq!(by(Key::Path, Cost::One), Err("a request without a path"));
        assert_eq!(by(Key::ClientPath, Cost::One), Err("a request without a path"));
        assert_eq!(by(Key::Client, Cost::Bytes), Err("no size"));
    }

    #[test]
    fn filters_come_before_the_key() {
        let keyless = entry("-", "", "/a.css");
        let by = |only: &[&str], except: &[&str]| {
            select(&selection(Key::User, Cost::One, only, except), &keyless)
                .map(|(selected, _)| selected)
        };
        assert_eq!(by(&[], &["static"]), Ok(Selected::LeftOut));
        assert_eq!(by(&["path=/a"], &[]), Ok(Selected::WithoutKey));
        let escaped = entry("192.0.2.1", "", "/%61pi");
        let api = selection(Key::Client, Cost::One, &["path=/api", "address=192.0.2.0/24"], &[]);
        assert!(matches!(select(&api, &escaped), Ok((Selected::Counts(1), _))));
    }

    #[test]
    fn only_what_is_needed_is_wanted() {
        let wanted = |key, cost, only: &[&str]| selection(key, cost, only, &[]).wanted();
        assert_eq!(wanted(Key::Client, Cost::One, &[]), NOTHING);
        assert_eq!(wanted(Key::User, Cost::One, &[]), Wanted { user: true, ..NOTHING });
        assert_eq!(wanted(Key::Path, Cost::One, &[]), Wanted { request: true, ..NOTHING });
        assert_eq!(wanted(Key::Client, Cost::Bytes, &[]), Wanted { bytes: true, ..NOTHING });
        let filtered = wanted(Key::Client, Cost::One, &["static", "status=429"]);
        assert_eq!(filtered, Wanted { request: true, status: true, ..NOTHING });
        let method = wanted(Key::Client, Cost::One, &["method=GET"]);
        assert_eq!(method, Wanted { request: true, ..NOTHING });
        let rule = ClientRule { field: ClientField::Forwarded, ..ClientRule::default() };
        let forwarded =
            Selection::new(Key::Client, Cost::One, rule, &[], &[]).expect("a selection");
        assert_eq!(forwarded.wanted(), Wanted { forwarded: true, ..NOTHING });
    }

    #[test]
    fn a_prefix_beyond_an_address_is_refused() {
        let rule = ClientRule { ipv6_prefix: 129, ..ClientRule::default() };
        let failure = Selection::new(Key::Client, Cost::One, rule, &[], &[]).expect_err("refused");
        assert!(failure.0.starts_with("--ipv6-prefix 129: "), "{}", failure.0);
    }
}
