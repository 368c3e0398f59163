//! Limits of control groups, of both versions.

mod membership;

use super::meminfo;
use super::root::{Failure, Root, field};
use super::{Sample, Source, Unknown};

pub(super) use self::membership::{Directory, Version, directory};

/// The tightest limit of the process's control group and of all above it that can be seen: that of which the
/// largest part is used. Used is what the group holds but for pages of files that were not read of late,
/// which the kernel gives up first. A limit above what the machine has counts as that.
///
/// In version 2 that is `memory.max` or `memory.high`, whichever is lower, in version 1
/// `memory.limit_in_bytes` and what `hierarchical_memory_limit` says of groups that cannot be seen.
/// All of it is read anew each time: limits may be changed, and processes moved.
#[derive(Clone, Debug, Default)]
pub struct Cgroup {
    root: Root,
}

impl Cgroup {
    /// Below this root.
    pub fn new(root: Root) -> Self {
        Self { root }
    }
}

/// A group that has a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Level {
    used: u64,
    total: u64,
    detail: String,
}

/// From here on version 1 means "none": it says so by the largest multiple of a page, or by the largest
/// number, of which kernels have used several.
const NO_LIMIT: u64 = 1 << 62;

/// A limit as a file gives it; `None` for none.
fn limit(text: &str, path: &str) -> Result<Option<u64>, Failure> {
    match text.trim() {
        "max" => Ok(None),
        number => {
            let limit: u64 = number.parse().map_err(|_| Failure::garbage(path))?;
            Ok((limit < NO_LIMIT).then_some(limit))
        }
    }
}

fn number(text: &str, path: &str) -> Result<u64, Failure> {
    text.trim().parse().map_err(|_| Failure::garbage(path))
}

/// What a group uses of its limit; `None` if it has none.
fn level(root: &Root, version: Version, at: &str) -> Result<Option<Level>, Failure> {
    let (limits, usage, inactive): (&[&str], _, _) = match version {
        Version::One => {
            (&["memory.limit_in_bytes"], "memory.usage_in_bytes", "total_inactive_file")
        }
        Version::Two => (&["memory.max", "memory.high"], "memory.current", "inactive_file"),
    };
    let file = |name: &str| format!("{at}/{name}");
    let mut lowest: Option<(u64, String)> = None;
    for path in limits.iter().map(|name| file(name)) {
        if let Some(text) = root.read_if_there(&path)?
            && let Some(limit) = limit(&text, &path)?
            && lowest.as_ref().is_none_or(|(lowest, _)| limit < *lowest)
        {
            lowest = Some((limit, path));
        }
    }
    // Read once: for the limit of groups that cannot be seen, and for what is inactive.
    let stat = file("memory.stat");
    let Some(text) = root.read_if_there(&stat)? else {
        return match lowest {
            Some(_) => Err(Failure::new(Unknown::Stale, format!("{stat}: not there"))),
            None => Ok(None),
        };
    };
    if version == Version::One
        && let Some(hidden) = field(&text, "hierarchical_memory_limit")
        && hidden < lowest.as_ref().map_or(NO_LIMIT, |(lowest, _)| *lowest)
    {
        lowest = Some((hidden, stat.clone()));
    }
    let Some((total, detail)) = lowest else {
        return Ok(None);
    };
    let path = file(usage);
    let current = number(&root.read(&path)?, &path)?;
    let inactive = field(&text, inactive).ok_or_else(|| Failure::garbage(&stat))?;
    Ok(Some(Level { used: current.saturating_sub(inactive), total, detail }))
}

fn tightest(root: &Root) -> Result<Level, Failure> {
    let Directory { version, mount, below } = directory(root)?;
    let machine = meminfo::read(root).ok();
    let mut tightest: Option<Level> = None;
    for at in levels(&mount, &below) {
        let Some(mut level) = level(root, version, &at)? else { continue };
        if let Some(memory) = machine {
            level.total = level.total.min(memory.total);
        }
        if level.total == 0 {
            return Err(Failure::new(Unknown::Stale, format!("{}: a limit of 0", level.detail)));
        }
        if tightest.as_ref().is_none_or(|other| level.is_tighter_than(other)) {
            tightest = Some(level);
        }
    }
    tightest.ok_or_else(|| {
        let detail = format!("{mount}{below}: no limit, here or above");
        Failure::new(Unknown::Unsupported, detail)
    })
}

impl Level {
    /// Whether a larger part of it is used; of equal parts, whether there is less.
    fn is_tighter_than(&self, other: &Self) -> bool {
        let part = |of: &Self, beside: &Self| u128::from(of.used) * u128::from(beside.total);
        let parts = part(self, other).cmp(&part(other, self));
        parts.then(other.total.cmp(&self.total)).is_gt()
    }
}

/// The directories from a mount down.
fn levels(mount: &str, below: &str) -> Vec<String> {
    let mut at = mount.trim_end_matches('/').to_owned();
    let mut levels = vec![at.clone()];
    for name in below.split('/').filter(|name| !name.is_empty()) {
        at = format!("{at}/{name}");
        levels.push(at.clone());
    }
    levels
}

impl Source for Cgroup {
    fn name(&self) -> String {
        "cgroup".to_owned()
    }

    fn sample(&mut self) -> Sample {
        match tightest(&self.root) {
            // More than `memory.high` may be used.
            Ok(Level { used, total, detail }) => Sample::beside(used, total, detail),
            Err(failure) => failure.into(),
        }
    }
}
