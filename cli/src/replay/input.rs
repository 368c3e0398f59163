//! Finds the logs, unpacks them, and cuts their text into whole lines.

mod gzip;
mod identity;
mod lines;
mod packed;
mod parts;
mod progress;
mod raw;
mod retry;
mod sources;
#[cfg(test)]
pub(crate) mod testing;
mod text;
mod zstd;

pub(crate) use self::identity::Identity;
pub(crate) use self::lines::{Block, LONGEST, Lines};
pub(crate) use self::progress::Progress;
pub(crate) use self::sources::{Source, Sources};
pub(crate) use self::text::Text;
