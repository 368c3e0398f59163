//! The parts of a line, as the formats find them.

use std::borrow::Cow;

use super::super::entry::{Entry, Reason, Stamp, Wanted};
use super::client::client;
use super::request::split_request;
use super::value;

/// A part of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Client,
    Time,
    Forwarded,
    User,
    /// Method, target and version in one field.
    Request,
    Method,
    Target,
    Status,
    Bytes,
}

impl Part {
    pub(super) const ALL: [Self; 9] = [
        Self::Client,
        Self::Time,
        Self::Forwarded,
        Self::User,
        Self::Request,
        Self::Method,
        Self::Target,
        Self::Status,
        Self::Bytes,
    ];
    pub(super) const COUNT: usize = Self::ALL.len();

    /// Returns whether the part is needed.
    pub(super) fn is_in(self, wanted: Wanted) -> bool {
        match self {
            Self::Client | Self::Time => true,
            Self::Forwarded => wanted.forwarded,
            Self::User => wanted.user,
            Self::Request | Self::Method | Self::Target => wanted.request,
            Self::Status => wanted.status,
            Self::Bytes => wanted.bytes,
        }
    }
}

/// What was found of each part.
#[derive(Debug, Default)]
pub(super) struct Parts<'a> {
    found: [Option<Cow<'a, [u8]>>; Part::COUNT],
}

impl<'a> Parts<'a> {
    /// Sets what was found of a part.
    pub(super) fn set(&mut self, part: Part, text: Cow<'a, [u8]>) {
        self.found[part as usize] = Some(text);
    }

    /// Makes an entry of the parts. The time is given, because each format writes it in its own
    /// way.
    ///
    /// # Errors
    ///
    /// Fails if there is no client, or if it is neither an address nor the name of a host.
    pub(super) fn into_entry(mut self, time: Stamp) -> Result<Entry<'a>, Reason> {
        let mut client_field = self.take(Part::Client).ok_or("no client")?;
        if client(&client_field)?.is_empty() {
            client_field = Cow::Borrowed(b"");
        }
        let (method, target) = match self.take(Part::Request) {
            Some(Cow::Borrowed(request)) => {
                let (method, target) = split_request(request);
                (Cow::Borrowed(method), Cow::Borrowed(target))
            }
            Some(Cow::Owned(request)) => {
                let (method, target) = split_request(&request);
                (Cow::Owned(method.to_vec()), Cow::Owned(target.to_vec()))
            }
            None => (self.present(Part::Method), self.present(Part::Target)),
        };
        Ok(Entry {
            time,
            client: client_field,
            forwarded: self.present(Part::Forwarded),
            user: self.present(Part::User),
            method,
            target,
            status: self.take(Part::Status).and_then(|status| value::status(&status)),
            bytes: self.take(Part::Bytes).and_then(|bytes| value::bytes(&bytes)),
        })
    }

    fn take(&mut self, part: Part) -> Option<Cow<'a, [u8]>> {
        self.found[part as usize].take()
    }

    /// Takes a part, or nothing for the `-` that stands for nothing.
    fn present(&mut self, part: Part) -> Cow<'a, [u8]> {
        self.take(part).filter(|field| **field != *b"-").unwrap_or_default()
    }
}
