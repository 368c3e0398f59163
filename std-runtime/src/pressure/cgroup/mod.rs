//! Limits of control groups, of both versions.

mod membership;
mod usage;

use tidegate_core::pressure::Unknown;

use super::meminfo::{self, Memory};
use super::root::{Failure, Root, field};
use super::source::{Sample, Source};

pub(super) use self::membership::{Directory, Version, directory};
pub use self::usage::Reckoning;

/// Reads the tightest limit of the process's control group and of the groups above it that can be
/// seen.
///
/// The tightest limit is the one of which the largest part is used. A limit above what the machine
/// has counts as that. What the kernel would give back does not count as used: see [`Reckoning`].
///
/// In version 2 a limit is `memory.max` or `memory.high`, whichever is lower. In version 1 it is
/// `memory.limit_in_bytes`, and for groups that cannot be seen `hierarchical_memory_limit`. All
/// files are read anew each time, because limits may be changed, and processes moved.
///
/// # Errors
///
/// A group without a limit is [`Unknown::Unsupported`]. A limit that exists and cannot be read, or
/// an impossible figure, makes the reading unknown, and the detail names it. What can be read is
/// still used, and the detail says so. If one of the two limits of a group can be read, it counts.
/// Without `memory.stat`, everything that the group holds counts as used.
#[derive(Clone, Debug, Default)]
pub struct Cgroup {
    root: Root,
    reckoning: Reckoning,
}

impl Cgroup {
    /// Creates a source that reads below this root.
    pub fn new(root: Root) -> Self {
        Self { root, reckoning: Reckoning::default() }
    }

    /// Sets what counts as used.
    #[must_use]
    pub fn reckoning(mut self, reckoning: Reckoning) -> Self {
        self.reckoning = reckoning;
        self
    }

    fn tightest(&self) -> Result<Level, Failure> {
        let Directory { version, mount, below } = directory(&self.root)?;
        let machine = meminfo::read(&self.root).ok();
        let mut tightest: Option<Level> = None;
        for at in levels(&mount, &below) {
            let group = Group { root: &self.root, version, at: &at };
            let Some(level) = group.level(machine.as_ref(), self.reckoning)? else { continue };
            if tightest.as_ref().is_none_or(|other| level.is_tighter_than(other)) {
                tightest = Some(level);
            }
        }
        tightest.ok_or_else(|| {
            let detail = format!("{mount}{below}: no limit, here or above");
            Failure::new(Unknown::Unsupported, detail)
        })
    }
}

/// A group that has a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Level {
    used: u64,
    total: u64,
    detail: String,
}

/// From here on version 1 means "none". It says so by the largest multiple of a page, or by the
/// largest number, and kernels have used several.
const NO_LIMIT: u64 = 1 << 62;

/// Reads a limit as a file gives it; `None` for none.
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

/// A group's directory.
#[derive(Clone, Copy)]
struct Group<'a> {
    root: &'a Root,
    version: Version,
    at: &'a str,
}

/// The lowest limit of a group, the file that says so, and why another file could not be read.
#[derive(Default)]
struct Limits {
    lowest: Option<(u64, String)>,
    unread: Option<Failure>,
}

impl Group<'_> {
    fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.at)
    }

    fn limits(&self) -> Limits {
        let names: &[&str] = match self.version {
            Version::One => &["memory.limit_in_bytes"],
            Version::Two => &["memory.max", "memory.high"],
        };
        let mut limits = Limits::default();
        for path in names.iter().map(|name| self.file(name)) {
            let text = self.root.read_if_there(&path);
            match text.and_then(|text| text.map_or(Ok(None), |text| limit(&text, &path))) {
                Ok(Some(limit)) => limits.lower(limit, path),
                Ok(None) => {}
                Err(failure) => limits.unread = limits.unread.or(Some(failure)),
            }
        }
        limits
    }

    /// Reads what the group uses of its limit, or `None` if it has none.
    fn level(
        &self,
        machine: Option<&Memory>,
        reckoning: Reckoning,
    ) -> Result<Option<Level>, Failure> {
        let mut limits = self.limits();
        // Read once: for the limit of groups that cannot be seen, and for what can be reclaimed.
        let path = self.file("memory.stat");
        let stat = self.root.read_if_there(&path);
        if let (Version::One, Ok(Some(text))) = (self.version, &stat)
            && let Some(hidden) = field(text, "hierarchical_memory_limit")
            && hidden < NO_LIMIT
        {
            limits.lower(hidden, path.clone());
        }
        let Limits { lowest, unread } = limits;
        let Some((total, mut detail)) = lowest else {
            return unread.map_or(Ok(None), Err);
        };
        let total = machine.map_or(total, |machine| total.min(machine.total));
        if total == 0 {
            return Err(Failure::impossible(&detail, "a limit of 0"));
        }
        let current = self.current(machine)?;
        let mut notes: Vec<String> = unread.into_iter().map(|failure| failure.detail).collect();
        let without = "all that the group holds counts as used";
        let used = match stat {
            Ok(Some(text)) => {
                usage::used((current, total), (&text, &path), self.version, reckoning)?
            }
            Ok(None) => {
                notes.push(format!("{path}: not there, {without}"));
                current
            }
            Err(failure) => {
                notes.push(format!("{}, {without}", failure.detail));
                current
            }
        };
        for note in notes {
            detail.push_str("; ");
            detail.push_str(&note);
        }
        Ok(Some(Level { used, total, detail }))
    }

    /// Reads what a group that has a limit holds.
    fn current(&self, machine: Option<&Memory>) -> Result<u64, Failure> {
        let path = self.file(match self.version {
            Version::One => "memory.usage_in_bytes",
            Version::Two => "memory.current",
        });
        let text = self.root.read(&path).map_err(|failure| match failure.why {
            // The group is there: its figure is unknown, and not absent.
            Unknown::Unsupported => Failure { why: Unknown::Stale, ..failure },
            _ => failure,
        })?;
        let current = number(&text, &path)?;
        let most = machine.map_or(NO_LIMIT, |machine| machine.installed);
        if current > most {
            let what = format!("{current} bytes, and the machine has {most}");
            return Err(Failure::impossible(&path, what));
        }
        Ok(current)
    }
}

impl Limits {
    fn lower(&mut self, limit: u64, path: String) {
        if self.lowest.as_ref().is_none_or(|(lowest, _)| limit < *lowest) {
            self.lowest = Some((limit, path));
        }
    }
}

impl Level {
    /// Returns whether a larger part of this limit is used; of equal parts, whether there is less.
    fn is_tighter_than(&self, other: &Self) -> bool {
        let part = |of: &Self, beside: &Self| u128::from(of.used) * u128::from(beside.total);
        let parts = part(self, other).cmp(&part(other, self));
        parts.then(other.total.cmp(&self.total)).is_gt()
    }
}

/// Returns the directories from a mount down.
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
        match self.tightest() {
            // More than `memory.high` may be used.
            Ok(Level { used, total, detail }) => Sample::beside(used, total, detail),
            Err(failure) => failure.into(),
        }
    }
}
