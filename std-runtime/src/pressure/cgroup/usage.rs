//! How much of what a group holds counts as used.

use super::super::root::{Failure, field, field_if_there};
use super::membership::Version;

/// How a [`Cgroup`](super::Cgroup) counts what its group holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reckoning {
    /// As the kernel counts `MemAvailable`. Clean pages of files and slabs that can be reclaimed do
    /// not count, except as much of the files as the kernel keeps in reserve.
    #[default]
    Available,
    /// As the kubelet counts the working set: only inactive pages of files do not count. It evicts
    /// pods by this figure, which counts files that were read twice as used.
    WorkingSet,
}

/// The names of a version's figures.
struct Names {
    inactive_file: &'static str,
    active_file: &'static str,
    dirty: &'static str,
    writeback: &'static str,
    /// The name of the slabs that can be reclaimed; version 1 has none.
    slab: Option<&'static str>,
}

const ONE: Names = Names {
    inactive_file: "total_inactive_file",
    active_file: "total_active_file",
    dirty: "total_dirty",
    writeback: "total_writeback",
    slab: None,
};

const TWO: Names = Names {
    inactive_file: "inactive_file",
    active_file: "active_file",
    dirty: "file_dirty",
    writeback: "file_writeback",
    slab: Some("slab_reclaimable"),
};

/// Returns what the kernel keeps free of this much memory: its low watermark, in bytes. The kernel
/// gives up caches below that.
///
/// As in the kernel, the base is the square root of 16 times the memory in kB, and at most 256 MiB.
/// The watermark is a quarter more than that, or a thousandth of the memory more if that is larger.
fn low_watermark(total: u64) -> u64 {
    let total = total / 1_024;
    let least = total.saturating_mul(16).isqrt().min(256 << 10);
    (least + (least / 4).max(total / 1_000)) * 1_024
}

/// Returns how much of `current` is used of a limit of `total`, by the `memory.stat` in `text`.
pub(super) fn used(
    (current, total): (u64, u64),
    (text, path): (&str, &str),
    version: Version,
    reckoning: Reckoning,
) -> Result<u64, Failure> {
    let names = match version {
        Version::One => ONE,
        Version::Two => TWO,
    };
    let optional = |name: &str| Ok(field_if_there(text, name, path)?.unwrap_or(0));
    let inactive = field(text, names.inactive_file);
    let inactive = inactive.ok_or_else(|| Failure::garbage(path))?;
    let (files, slab) = match reckoning {
        Reckoning::WorkingSet => (inactive, 0),
        Reckoning::Available => {
            let files = inactive.saturating_add(optional(names.active_file)?);
            (files, names.slab.map_or(Ok(0), optional)?)
        }
    };
    if files.saturating_add(slab) > current {
        let what = format!("{files} bytes of files and {slab} of slabs, of {current} in all");
        return Err(Failure::impossible(path, what));
    }
    let credit = match reckoning {
        Reckoning::WorkingSet => inactive,
        Reckoning::Available => {
            let busy = optional(names.dirty)?.saturating_add(optional(names.writeback)?);
            let clean = files.saturating_sub(busy);
            clean - (clean / 2).min(low_watermark(total)) + slab
        }
    };
    Ok(current - credit)
}

#[cfg(test)]
mod tests {
    use super::low_watermark;

    #[test]
    fn the_low_watermark_is_the_kernels() {
        // A machine of 64 GiB has min_free_kbytes of 32768, and a thousandth of it is more than a
        // quarter.
        assert_eq!(low_watermark(64 << 30), (32_768 + 67_108) * 1_024);
        assert_eq!(low_watermark(256 << 20), (2_048 + 512) * 1_024);
        assert_eq!(low_watermark(0), 0);
        assert_eq!(low_watermark(1_000), 0);
        assert!(low_watermark(u64::MAX) < u64::MAX / 900);
    }
}
