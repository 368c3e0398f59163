//! Amazon's load balancers (ALB) and S3:
//!
//! ```text
//! https 2015-05-17T10:05:03.000001Z app/lb/1 192.0.2.1:40000 10.0.0.1:80 0.000 0.001 0.000 ...
//! 79a5 a-bucket [17/May/2015:10:05:03 +0000] 192.0.2.1 arn:aws:iam::1:user/alice 3E57 ...
//! ```

use super::super::entry::{Entry, Reason, Wanted};
use super::super::stamp::Stamps;
use super::Format;
use super::columns::{self, Between, Column};
use super::part::Part;

/// A service whose logs have columns in fixed places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aws {
    /// The time is that of the response, as in most logs.
    Alb,
    S3,
}

const ALB: [Column; 13] = [
    Column::Other,
    Column::Of(Part::Time),
    Column::Other,
    Column::Of(Part::Client),
    Column::Other,
    Column::Other,
    Column::Other,
    Column::Other,
    Column::Of(Part::Status),
    Column::Other,
    Column::Other,
    Column::Of(Part::Bytes),
    Column::Of(Part::Request),
];
const S3: [Column; 12] = [
    Column::Other,
    Column::Other,
    Column::Of(Part::Time),
    Column::Of(Part::Client),
    Column::Of(Part::User),
    Column::Other,
    Column::Other,
    Column::Other,
    Column::Of(Part::Request),
    Column::Of(Part::Status),
    Column::Other,
    Column::Of(Part::Bytes),
];

impl Format for Aws {
    fn name(&self) -> String {
        let name = match self {
            Self::Alb => "alb",
            Self::S3 => "s3",
        };
        name.to_owned()
    }

    fn parse<'a>(
        &self,
        line: &'a [u8],
        wanted: Wanted,
        stamps: &mut Stamps,
    ) -> Result<Option<Entry<'a>>, Reason> {
        let columns = match self {
            Self::Alb => {
                let end = memchr::memchr(b' ', line).unwrap_or(line.len());
                if !matches!(&line[..end], b"http" | b"https" | b"h2" | b"grpcs" | b"ws" | b"wss") {
                    return Err("the first field is no protocol of ALB");
                }
                &ALB[..]
            }
            Self::S3 => &S3[..],
        };
        columns::parse(line, columns, Between::BlankOutsideQuotes, wanted, stamps).map(Some)
    }
}
