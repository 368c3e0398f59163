//! Files that the kernel writes, below a root that tests can choose.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use tidegate_core::pressure::Unknown;

use super::source::Sample;

/// No file that is read here is longer.
const LONGEST: u64 = 16 << 20;

/// The place of `/proc` and of what is mounted: `/`, or a copy of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root(PathBuf);

/// Why a file gave no figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) why: Unknown,
    pub(super) detail: String,
}

impl From<Failure> for Sample {
    fn from(failure: Failure) -> Self {
        Self::unknown(failure.why, failure.detail)
    }
}

impl Failure {
    pub(super) fn new(why: Unknown, detail: impl Into<String>) -> Self {
        Self { why, detail: detail.into() }
    }

    /// Makes the failure of a file that says something impossible.
    pub(super) fn impossible(path: &str, what: impl std::fmt::Display) -> Self {
        Self::new(Unknown::Stale, format!("{path}: {what}"))
    }

    /// Makes the failure of a file that is not understood.
    pub(super) fn garbage(path: &str) -> Self {
        Self::new(Unknown::Stale, format!("{path}: not understood"))
    }

    pub(super) fn of(path: &str, error: &std::io::Error) -> Self {
        let why = match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::Unsupported => {
                Unknown::Unsupported
            }
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Unknown::Denied,
            // EOPNOTSUPP has a kind of its own; a control group without what is asked for says
            // EINVAL.
            _ => Unknown::Stale,
        };
        Self::new(why, format!("{path}: {error}"))
    }
}

impl Root {
    /// Returns the root of the machine.
    pub fn system() -> Self {
        Self(PathBuf::from("/"))
    }

    /// Returns a root that is a copy.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Returns the path below this root for an absolute path.
    pub(super) fn path(&self, absolute: &str) -> PathBuf {
        self.0.join(Path::new(absolute.trim_start_matches('/')))
    }

    pub(super) fn read(&self, absolute: &str) -> Result<String, Failure> {
        let fails = |error: std::io::Error| Failure::of(absolute, &error);
        let file = std::fs::File::open(self.path(absolute)).map_err(fails)?;
        let mut bytes = Vec::new();
        file.take(LONGEST).read_to_end(&mut bytes).map_err(fails)?;
        // A path may have any bytes.
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Reads a file as [`read`](Self::read) does, or returns `None` if there is no such file.
    pub(super) fn read_if_there(&self, absolute: &str) -> Result<Option<String>, Failure> {
        match self.read(absolute) {
            Ok(text) => Ok(Some(text)),
            Err(failure) if failure.why == Unknown::Unsupported => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

impl Default for Root {
    fn default() -> Self {
        Self::system()
    }
}

/// Returns the value of a field: `MemTotal:   16 kB` in `/proc`, `inactive_file 16` in a control
/// group. A value in kB is returned in bytes. Returns `None` if there is no such field, or its
/// value is not understood.
pub(super) fn field(text: &str, name: &str) -> Option<u64> {
    value(line(text, name)?)
}

/// Returns the value of a field that not every kernel has, or `None` if there is no such field.
pub(super) fn field_if_there(text: &str, name: &str, path: &str) -> Result<Option<u64>, Failure> {
    let Some(line) = line(text, name) else { return Ok(None) };
    let garbage = || Failure::new(Unknown::Stale, format!("{path}: {name} is not understood"));
    value(line).map(Some).ok_or_else(garbage)
}

fn line<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let rest = line.strip_prefix(name)?;
        rest.strip_prefix(':').or_else(|| rest.strip_prefix(' '))
    })
}

fn value(line: &str) -> Option<u64> {
    let mut words = line.split_ascii_whitespace();
    let number: u64 = words.next()?.parse().ok()?;
    match words.next() {
        None => Some(number),
        Some("kB") => number.checked_mul(1_024),
        Some(_) => None,
    }
}
