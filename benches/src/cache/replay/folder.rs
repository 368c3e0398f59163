//! Traces read from a folder.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use flate2::read::GzDecoder;

use super::LEAST;

/// A trace: the keys that were asked for, in their order.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Its file's name, without the ending.
    pub name: String,
    /// The keys.
    pub keys: Vec<u64>,
    /// How many keys are distinct.
    pub distinct: usize,
}

impl Trace {
    /// Makes a trace of keys.
    pub fn new(name: impl Into<String>, keys: Vec<u64>) -> Self {
        let distinct = keys.iter().collect::<HashSet<_>>().len();
        Self { name: name.into(), keys, distinct }
    }

    /// Returns how many entries a cache holds that has room for one in `part` of the keys: 16 at
    /// least.
    pub fn room(&self, part: usize) -> usize {
        (self.distinct / part).max(LEAST)
    }
}

/// The end of the name of a trace's file.
const ENDING: &str = ".u64.gz";

/// Reads the traces of a folder, in the order of their names: each file `NAME.u64.gz` has keys of 64
/// bits, little-endian, and is compressed by gzip.
///
/// # Errors
///
/// If the folder or a trace cannot be read, if there is none, and if one does not end at the end of
/// a key.
pub fn read(folder: &Path) -> io::Result<Vec<Trace>> {
    let mut traces = Vec::new();
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if let Some(name) = name.strip_suffix(ENDING) {
            let keys = keys(&path).map_err(|error| {
                io::Error::new(error.kind(), format!("{name}{ENDING}: {error}"))
            })?;
            traces.push(Trace::new(name, keys));
        }
    }
    if traces.is_empty() {
        return Err(io::Error::other(format!("no file *{ENDING}")));
    }
    traces.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(traces)
}

fn keys(path: &Path) -> io::Result<Vec<u64>> {
    let mut bytes = Vec::new();
    GzDecoder::new(File::open(path)?).read_to_end(&mut bytes)?;
    let (keys, rest) = bytes.as_chunks::<8>();
    if keys.is_empty() || !rest.is_empty() {
        return Err(io::Error::other("not a sequence of 64-bit numbers"));
    }
    Ok(keys.iter().map(|key| u64::from_le_bytes(*key)).collect())
}
