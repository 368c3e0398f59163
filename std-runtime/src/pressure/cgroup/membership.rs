//! Which control group the process is in, and where that is.

use tidegate_core::pressure::Unknown;

use super::super::root::{Failure, Root};

/// Of control groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    One,
    Two,
}

/// The directory of a group: where its hierarchy is mounted, and where it is below that, as far as
/// that can be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Directory {
    pub(crate) version: Version,
    pub(crate) mount: String,
    /// Empty, or begins with a slash.
    pub(crate) below: String,
}

const MEMBERSHIP: &str = "/proc/self/cgroup";
const MOUNTS: &str = "/proc/self/mountinfo";

/// Returns the group that accounts for the process's memory.
pub(crate) fn directory(root: &Root) -> Result<Directory, Failure> {
    let text = root.read(MEMBERSHIP)?;
    let (version, path) = membership(&text)?;
    let mut directory = mounted(version, path, &root.read(MOUNTS)?)?;
    let path = format!("{}{}", directory.mount, directory.below);
    let is_there = std::fs::metadata(root.path(&path)).map(|it| it.is_dir());
    match is_there.map_err(|error| Failure::of(&path, &error)) {
        Ok(true) => {}
        Err(failure) if failure.why != Unknown::Unsupported => return Err(failure),
        // The group is outside of what is mounted here: all that can be seen is the mount.
        Ok(false) | Err(_) => directory.below = String::new(),
    }
    Ok(directory)
}

/// Returns the version and the path of the group.
fn membership(text: &str) -> Result<(Version, &str), Failure> {
    let mut two = None;
    for line in text.lines() {
        let (controllers, path) = entry(line).ok_or_else(|| Failure::garbage(MEMBERSHIP))?;
        if controllers.split(',').any(|name| name == "memory") {
            return Ok((Version::One, path));
        }
        if controllers.is_empty() {
            two = Some((Version::Two, path));
        }
    }
    two.ok_or_else(|| {
        Failure::new(
            Unknown::Unsupported,
            format!("{MEMBERSHIP}: no group that accounts for memory"),
        )
    })
}

/// Returns the controllers and the path of a line `id:controllers:path`.
fn entry(line: &str) -> Option<(&str, &str)> {
    // A path may have a colon.
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?);
    Some((controllers, path.strip_suffix(" (deleted)").unwrap_or(path)))
}

/// Returns where the group is, by the mounts of its version.
fn mounted(version: Version, path: &str, mounts: &str) -> Result<Directory, Failure> {
    let mut found: Option<(bool, Directory)> = None;
    for mount in mounts.lines().filter_map(Mount::parse) {
        if mount.version != version {
            continue;
        }
        let below = mount.below(path);
        let is_within = below.is_some();
        // Of several on one point the last is seen; of others, one that the group is within.
        let replaces = found.as_ref().is_none_or(|(was_within, other)| {
            is_within || !was_within || other.mount == mount.point
        });
        if replaces {
            let below = below.unwrap_or_default();
            found = Some((is_within, Directory { version, mount: mount.point, below }));
        }
    }
    found.map(|(_, directory)| directory).ok_or_else(|| {
        if !mounts.lines().any(|line| line.contains(" - ")) {
            return Failure::garbage(MOUNTS);
        }
        let detail = format!("{MOUNTS}: the hierarchy of control groups is not mounted");
        Failure::new(Unknown::Unsupported, detail)
    })
}

/// A mount of a hierarchy that can account for memory.
struct Mount {
    version: Version,
    /// Which of its directories is mounted.
    root: String,
    point: String,
}

impl Mount {
    /// Reads a line `id parent device root point options [fields] - type source options`.
    fn parse(line: &str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let (root, point) = (before.next()?, before.next()?);
        let mut after = after.split(' ');
        let version = match after.next()? {
            "cgroup2" => Version::Two,
            "cgroup" if after.nth(1)?.split(',').any(|option| option == "memory") => Version::One,
            _ => return None,
        };
        Some(Self { version, root: unescaped(root), point: unescaped(point) })
    }

    /// Returns where a group is below this mount, if it is.
    fn below(&self, path: &str) -> Option<String> {
        if path.split('/').any(|name| name == "..") {
            return None;
        }
        let rest = match self.root.as_str() {
            "/" => path,
            root => path.strip_prefix(root)?,
        };
        (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_end_matches('/').to_owned())
    }
}

/// Returns a path in which `\040` stood for a space, and so on.
fn unescaped(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| first == b'\\');
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_below_the_mount_that_shows_it() {
        let two = "36 25 0:30 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw";
        let of = |root: &str| format!("36 25 0:30 {root} /sys/fs/cgroup rw - cgroup2 cgroup rw");
        let cases = [
            (two.to_owned(), "/a/b", "/a/b"),
            (two.to_owned(), "/", ""),
            (of("/a"), "/a/b", "/b"),
            (of("/a"), "/a", ""),
            // Only at a boundary.
            (of("/a"), "/ab", ""),
            // Above what is seen: the mount itself is all there is.
            (of("/.."), "/", ""),
            (of("/../.."), "/a", ""),
            (two.to_owned(), "/../x", ""),
        ];
        for (mounts, path, below) in cases {
            let found = mounted(Version::Two, path, &mounts).expect("a mount");
            assert_eq!(found.below, below, "{path} in {mounts}");
            assert_eq!(found.mount, "/sys/fs/cgroup");
        }
        assert!(mounted(Version::One, "/", two).is_err());
        assert!(mounted(Version::Two, "/", "garbage\n\n - \n1 2 3 - cgroup2").is_err());
    }

    #[test]
    fn lines_of_membership() {
        let cases = [
            ("0::/a:b\n", Some((Version::Two, "/a:b"))),
            ("0::/a (deleted)\n", Some((Version::Two, "/a"))),
            ("4:cpu,memory:/x\n0::/y\n", Some((Version::One, "/x"))),
            ("4:cpu:/x\n0::/y\n", Some((Version::Two, "/y"))),
            ("4:memory_but_not:/x\n", None),
            ("", None),
            ("garbage", None),
        ];
        for (text, expected) in cases {
            assert_eq!(membership(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn escapes_are_octal() {
        for (escaped, path) in
            [(r"/a\040b", "/a b"), (r"\134", r"\"), (r"\9", r"\9"), (r"\777", r"\777"), ("", "")]
        {
            assert_eq!(unescaped(escaped), path);
        }
    }
}
