//! `/proc/meminfo`.

use super::root::{Failure, Root, field};
use super::{Sample, Source, Unknown};

const PATH: &str = "/proc/meminfo";

/// What the machine has, and what is left of it: `MemTotal` and `MemAvailable` (Linux 3.14). In a container
/// that is the host's, whatever the container may use: see [`Cgroup`](super::Cgroup).
#[derive(Clone, Debug, Default)]
pub struct Meminfo {
    root: Root,
}

/// How much memory a machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) total: u64,
    /// Without what can be had by giving up caches.
    pub(super) used: u64,
}

impl Meminfo {
    /// Below this root.
    pub fn new(root: Root) -> Self {
        Self { root }
    }
}

pub(super) fn parse(text: &str) -> Result<Memory, Failure> {
    let Some(total) = field(text, "MemTotal").filter(|&total| total > 0) else {
        return Err(Failure::garbage(PATH));
    };
    let Some(available) = field(text, "MemAvailable") else {
        let detail = format!("{PATH}: no MemAvailable, which Linux has since 3.14");
        return Err(Failure::new(Unknown::Unsupported, detail));
    };
    let used = total.checked_sub(available).ok_or_else(|| Failure::garbage(PATH))?;
    Ok(Memory { total, used })
}

pub(super) fn read(root: &Root) -> Result<Memory, Failure> {
    parse(&root.read(PATH)?)
}

impl Source for Meminfo {
    fn name(&self) -> String {
        "meminfo".to_owned()
    }

    fn sample(&mut self) -> Sample {
        match read(&self.root) {
            Ok(Memory { total, used }) => Sample::bytes(used, total, PATH),
            Err(failure) => failure.into(),
        }
    }
}
