//! What a clock reads, and why.

use std::fmt;

/// What a clock reads: see [`CounterClock::source`](super::CounterClock::source).
///
/// ```
/// use tidegate::clock::TimeSource;
///
/// match tidegate::clock().source() {
///     TimeSource::Counter => println!("reads the processor's counter"),
///     TimeSource::Kernel(refusal) => println!("reads the kernel's clock: {refusal}"),
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeSource {
    /// The processor's counter, held to the kernel's clock.
    Counter,
    /// The kernel's clock, for this reason.
    Kernel(Refusal),
}

/// Writes `counter`, or `kernel: ` and the reason.
impl fmt::Display for TimeSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Counter => f.write_str("counter"),
            Self::Kernel(refusal) => write!(f, "kernel: {refusal}"),
        }
    }
}

/// Why a clock does not read the processor's counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The counter's rate is not known, or not any more. It is found within two intervals of 50 ms, if a
    /// thread reads the clock at the end of each.
    Uncalibrated,
    /// There is no counter that this crate reads, on this processor or under this operating system.
    Unsupported,
    /// Nothing under `/sys` says what the kernel counts with.
    NoSys,
    /// The kernel counts with something else, perhaps because it found the counter unreliable.
    Clocksource(Clocksource),
    /// The processor does not promise a counter that is steady in every state: `/proc/cpuinfo` lacks
    /// `constant_tsc` or `nonstop_tsc`.
    Unsteady,
    /// This process may not read the counter (`PR_SET_TSC`).
    Forbidden,
    /// Reading the counter costs more than reading the kernel's clock: it is emulated.
    Dear,
    /// The kernel refuses the clock that the counter would be held to.
    NoClock,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uncalibrated => f.write_str("the counter's rate is not known yet"),
            Self::Unsupported => f.write_str("no counter is supported here"),
            Self::NoSys => f.write_str("/sys does not say what the kernel counts with"),
            Self::Clocksource(name) => write!(f, "the kernel counts with {name}"),
            Self::Unsteady => f.write_str("the processor's counter is not steady"),
            Self::Forbidden => f.write_str("the process may not read the counter"),
            Self::Dear => f.write_str("the counter costs more to read than the kernel's clock"),
            Self::NoClock => f.write_str("the kernel refuses its own clock"),
        }
    }
}

/// The name of what the kernel counts with, such as `tsc`, `hpet` or `kvm-clock`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Clocksource {
    /// The kernel's names have 31 characters at most. Zeros follow the name.
    bytes: [u8; 32],
}

impl Clocksource {
    /// Takes the first word of a text, as far as there is room.
    pub(super) fn new(text: &[u8]) -> Self {
        let mut bytes = [0; 32];
        let name = text.iter().take_while(|byte| byte.is_ascii_graphic());
        bytes.iter_mut().zip(name).for_each(|(to, from)| *to = *from);
        Self { bytes }
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        let end = self.bytes.iter().position(|byte| *byte == 0).unwrap_or(self.bytes.len());
        // It is ASCII.
        std::str::from_utf8(&self.bytes[..end]).unwrap_or_default()
    }
}

impl fmt::Display for Clocksource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Clocksource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
