//! The formats of logs.

mod aws;
mod behind;
mod client;
mod columns;
mod common;
mod detect;
mod haproxy;
mod json;
mod names;
mod part;
mod pattern;
mod prefix;
mod quoted;
mod request;
mod value;
mod w3c;

pub(crate) use self::detect::detect;
pub(crate) use self::names::{json_fields, named};

use std::fmt::Debug;
use std::sync::Arc;

use super::entry::{Entry, Reason, Wanted};
use super::stamp::Stamps;

/// A format of log lines. It keeps no state, so that threads may take blocks of lines in any order.
pub(crate) trait Format: Debug + Send + Sync {
    /// Returns the format's name, as it is shown and as `--log-format` takes it.
    fn name(&self) -> String;

    /// Parses a line, which is given without its line end. Returns `None` for a line that is no
    /// request by design, such as a header or a blank line.
    ///
    /// # Errors
    ///
    /// Fails with what the line lacks.
    fn parse<'a>(
        &self,
        line: &'a [u8],
        wanted: Wanted,
        stamps: &mut Stamps,
    ) -> Result<Option<Entry<'a>>, Reason>;

    /// Returns whether a line is surely of this format. It is stricter than
    /// [`parse`](Self::parse), which also takes what a server writes of a broken request.
    fn recognizes(&self, line: &[u8], stamps: &mut Stamps) -> bool {
        matches!(self.parse(line, Wanted::ALL, stamps), Ok(Some(_)))
    }

    /// Returns whether lines that begin with `#` may rename the columns of the lines after them.
    fn has_headers(&self) -> bool {
        false
    }

    /// Returns the format of the lines after this header, if that renames the columns.
    fn after_header(&self, _line: &[u8]) -> Option<Arc<dyn Format>> {
        None
    }
}

#[cfg(test)]
mod tests;
