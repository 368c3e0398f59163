//! Logs: which they are, what is in them unpacked, and whole lines of it.

mod gzip;
mod identity;
mod lines;
mod packed;
mod parts;
mod progress;
mod raw;
mod sources;
mod text;
mod zstd;

pub(crate) use self::identity::Identity;
pub(crate) use self::lines::{Block, LONGEST, Lines};
pub(crate) use self::progress::Progress;
pub(crate) use self::sources::{Source, Sources};
pub(crate) use self::text::Text;
