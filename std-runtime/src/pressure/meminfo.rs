//! `/proc/meminfo`, and what ZFS would give back.

use tidegate_core::pressure::Unknown;

use super::root::{Failure, Root, field, field_if_there};
use super::source::{Sample, Source};

const PATH: &str = "/proc/meminfo";
const ARC: &str = "/proc/spl/kstat/zfs/arcstats";

/// Reads what the machine has and what is left of it: `MemTotal` and `MemAvailable` (Linux 3.14).
/// In a container the figures are the host's, whatever the container may use: see
/// [`Cgroup`](super::Cgroup).
///
/// Reserved huge pages (`Hugetlb`) are no part of the total: the kernel counts them as used, and no
/// eviction makes them free. ZFS keeps its cache (ARC) outside of `MemAvailable`: the part above
/// its minimum counts as free.
#[derive(Clone, Debug, Default)]
pub struct Meminfo {
    root: Root,
}

/// How much memory a machine has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    /// All memory that there is.
    pub(super) installed: u64,
    /// All memory except reserved huge pages.
    pub(super) total: u64,
    /// The part of `total` that is used, except what can be had by giving up caches.
    pub(super) used: u64,
    /// What could not be read, and is not credited.
    note: Option<String>,
}

impl Meminfo {
    /// Creates a source that reads below this root.
    pub fn new(root: Root) -> Self {
        Self { root }
    }
}

/// Returns the bytes of huge pages that are reserved, used or not. `Hugetlb` counts all sizes
/// (Linux 4.20). Before that, the other two fields count the default size.
fn huge_pages(text: &str) -> Result<u64, Failure> {
    if let Some(bytes) = field_if_there(text, "Hugetlb", PATH)? {
        return Ok(bytes);
    }
    let pages = field_if_there(text, "HugePages_Total", PATH)?.unwrap_or(0);
    let size = field_if_there(text, "Hugepagesize", PATH)?.unwrap_or(0);
    Ok(pages.saturating_mul(size))
}

fn parse(text: &str) -> Result<Memory, Failure> {
    let Some(installed) = field(text, "MemTotal").filter(|&total| total > 0) else {
        return Err(Failure::garbage(PATH));
    };
    let Some(available) = field_if_there(text, "MemAvailable", PATH)? else {
        let detail = format!("{PATH}: no MemAvailable, which Linux has since 3.14");
        return Err(Failure::new(Unknown::Unsupported, detail));
    };
    let huge = huge_pages(text)?;
    let impossible =
        |what: &str| Failure::impossible(PATH, format!("{what} is more than there is"));
    let total = installed.checked_sub(huge).filter(|&total| total > 0);
    let total = total.ok_or_else(|| impossible("Hugetlb"))?;
    let used = total.checked_sub(available).ok_or_else(|| impossible("MemAvailable"))?;
    Ok(Memory { installed, total, used, note: None })
}

/// Returns what ZFS's cache holds above its minimum, from lines `name type value`.
fn reclaimable_arc(text: &str) -> Result<u64, Failure> {
    let value = |name: &str| {
        let mut lines = text.lines().map(|line| line.split_ascii_whitespace());
        let value = lines.find_map(|mut words| (words.next() == Some(name)).then(|| words.nth(1)));
        value.flatten()?.parse::<u64>().ok()
    };
    let (size, least) = value("size").zip(value("c_min")).ok_or_else(|| Failure::garbage(ARC))?;
    Ok(size.saturating_sub(least))
}

/// Reads the machine's memory as the kernel counts it.
pub(super) fn read(root: &Root) -> Result<Memory, Failure> {
    parse(&root.read(PATH)?)
}

/// Reads the machine's memory, with what ZFS would give back credited.
fn read_with_arc(root: &Root) -> Result<Memory, Failure> {
    let mut memory = read(root)?;
    let arc =
        root.read_if_there(ARC).and_then(|text| text.as_deref().map(reclaimable_arc).transpose());
    match arc {
        Ok(None) => {}
        Ok(Some(reclaimable)) => {
            let used = memory.used.checked_sub(reclaimable);
            let impossible = || Failure::impossible(ARC, "holds more than is used");
            memory.used = used.ok_or_else(impossible)?;
        }
        Err(failure) => memory.note = Some(format!("{}; its cache counts as used", failure.detail)),
    }
    Ok(memory)
}

impl Source for Meminfo {
    fn name(&self) -> String {
        "meminfo".to_owned()
    }

    fn sample(&mut self) -> Sample {
        match read_with_arc(&self.root) {
            Ok(Memory { total, used, note, .. }) => {
                let notes = note.iter().map(|note| format!("; {note}"));
                let detail = std::iter::once(PATH.to_owned()).chain(notes).collect::<String>();
                Sample::bytes(used, total, detail)
            }
            Err(failure) => failure.into(),
        }
    }
}
