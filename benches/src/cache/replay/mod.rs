//! Real traces, replayed: hits, objects and bytes of sized objects, and the time an access takes.
//!
//! | file | holds |
//! |---|---|
//! | `folder` | traces read from a folder |
//! | `subject` | caches whose hits are counted, each in its own way |
//! | `hits` | their hits, and the most that each held |
//! | `access` | the time of a get, and of an insertion on a miss, over a whole trace |
//! | `table` | the rows side by side |

mod access;
mod folder;
mod hits;
mod subject;
mod table;

use std::io;
use std::path::Path;

use serde::Serialize;

use super::Effort;
use crate::measure::Row;

pub use self::access::replay;
pub use self::folder::{Trace, read};
pub use self::table::tables;

/// The rooms of caches: a trace's distinct keys divided by each of these.
const PARTS: [usize; 3] = [100, 20, 5];
/// The least room for entries.
const LEAST: usize = 16;
/// The part of the distinct keys, or of their bytes, that there is room for where one room must do.
const PART: usize = 20;

/// A row, and the most that its rival held.
#[derive(Clone, Debug, Serialize)]
pub struct Replayed {
    /// The row. Its ratio is not a number if the rival held too much to be compared.
    #[serde(flatten)]
    pub row: Row,
    /// The most entries that the rival held, or bytes of sized objects, where hits were counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<u64>,
}

/// Replays the traces of a folder, and hands each row over as it comes.
///
/// # Errors
///
/// If there is no such folder, it has no traces, or one cannot be read.
pub fn run(folder: &Path, effort: Effort, mut row: impl FnMut(Replayed)) -> io::Result<()> {
    let traces = read(folder)?;
    for trace in &traces {
        for part in PARTS {
            hits::entries(trace, trace.room(part), &mut row);
        }
    }
    for trace in &traces {
        hits::sized(trace, PART, &mut row);
    }
    for trace in &traces {
        access::times(trace, trace.room(PART), effort, &mut row);
    }
    Ok(())
}
