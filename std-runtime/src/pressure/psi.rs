//! How long tasks wait for memory: pressure stall information (Linux 4.20).

use std::time::Duration;

use tidegate_core::pressure::Unknown;

use super::cgroup::{Directory, Version, directory};
use super::root::{Failure, Root};
use super::source::{Measure, Sample, Source};

/// Which tasks wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stall {
    /// At least one task.
    Some,
    /// Every task that is not idle.
    Full,
}

/// The time over which the average is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// Ten seconds.
    TenSeconds,
    /// A minute.
    Minute,
    /// Five minutes.
    FiveMinutes,
}

/// Reads the part of the time in which tasks waited for memory.
///
/// It says how much a shortage hurts, not how much memory there is. For what is evicted, see
/// [`Measure::Share`]. Without swap it rises late: no task waits for memory that processes hold
/// until there is nothing left to give. Use it beside a source that counts bytes
/// ([`max_of`](super::max_of)), not in its place.
#[derive(Clone, Debug)]
pub struct Psi {
    root: Root,
    of_cgroup: bool,
    stall: Stall,
    window: Window,
}

pub(super) const MACHINE: &str = "/proc/pressure/memory";

impl Psi {
    /// Creates a source for all tasks of the machine.
    pub fn of_machine(root: Root, stall: Stall, window: Window) -> Self {
        Self { root, of_cgroup: false, stall, window }
    }

    /// Creates a source for the tasks of the process's control group, in version 2.
    pub fn of_cgroup(root: Root, stall: Stall, window: Window) -> Self {
        Self { root, of_cgroup: true, stall, window }
    }

    fn read(&self) -> Result<(String, u32), Failure> {
        let path = if self.of_cgroup { of_group(&self.root)? } else { MACHINE.to_owned() };
        let text = self.root.read(&path)?;
        let parts =
            average(&text, self.stall, self.window).ok_or_else(|| Failure::garbage(&path))?;
        Ok((path, parts))
    }
}

/// Returns the file of the process's group.
pub(super) fn of_group(root: &Root) -> Result<String, Failure> {
    match directory(root)? {
        Directory { version: Version::Two, mount, below } => {
            Ok(format!("{mount}{below}/memory.pressure"))
        }
        Directory { version: Version::One, .. } => {
            let detail = "control groups of version 1 have no pressure stall information";
            Err(Failure::new(Unknown::Unsupported, detail))
        }
    }
}

/// Returns the average that is asked for, in parts per million of the time.
fn average(text: &str, stall: Stall, window: Window) -> Option<u32> {
    let name = match stall {
        Stall::Some => "some ",
        Stall::Full => "full ",
    };
    let key = match window {
        Window::TenSeconds => "avg10=",
        Window::Minute => "avg60=",
        Window::FiveMinutes => "avg300=",
    };
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let percent = line.split_ascii_whitespace().find_map(|word| word.strip_prefix(key))?;
    // The figure is in hundredths of a per cent.
    let (whole, hundredths) = percent.split_once('.')?;
    if hundredths.len() != 2 {
        return None;
    }
    let whole: u32 = whole.parse().ok()?;
    let hundredths: u32 = hundredths.parse().ok()?;
    (whole < 100 || (whole, hundredths) == (100, 0)).then(|| whole * 10_000 + hundredths * 100)
}

impl Source for Psi {
    fn name(&self) -> String {
        if self.of_cgroup { "psi (cgroup)" } else { "psi" }.to_owned()
    }

    fn sample(&mut self) -> Sample {
        let who = match self.stall {
            Stall::Some => "some",
            Stall::Full => "all",
        };
        let lag = match self.window {
            Window::TenSeconds => Duration::from_secs(10),
            Window::Minute => Duration::from_secs(60),
            Window::FiveMinutes => Duration::from_secs(300),
        };
        match self.read() {
            Ok((path, parts)) => {
                let percent = f64::from(parts) / 10_000.0;
                let detail = format!("{path}: {who} tasks waited {percent:.2} % of the time");
                Sample { lag, ..Sample::share(parts, detail) }
            }
            Err(failure) => Sample { measure: Measure::Share, ..failure.into() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "some avg10=1.23 avg60=45.06 avg300=100.00 total=1284417\n\
                        full avg10=0.00 avg60=0.02 avg300=0.01 total=902113\n";

    #[test]
    fn averages_are_exact() {
        let cases = [
            (Stall::Some, Window::TenSeconds, 12_300),
            (Stall::Some, Window::Minute, 450_600),
            (Stall::Some, Window::FiveMinutes, 1_000_000),
            (Stall::Full, Window::TenSeconds, 0),
            (Stall::Full, Window::Minute, 200),
        ];
        for (stall, window, parts) in cases {
            assert_eq!(average(TEXT, stall, window), Some(parts));
        }
    }

    #[test]
    fn garbage_is_none() {
        for text in [
            "",
            "some",
            "some avg10=",
            "some avg10=1",
            "some avg10=1.2",
            "some avg10=100.01",
            "some avg10=-1.00",
            "some avg10=99999999999.00",
            "some avg60=1.00",
            "full avg10=1.00",
        ] {
            assert_eq!(average(text, Stall::Some, Window::TenSeconds), None, "{text}");
        }
    }
}
