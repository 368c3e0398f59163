//! The counter of this processor and the kernel's clocks, and what each thread keeps of them.

use std::fs::File;
use std::io::Read;

use super::anchor::Anchor;
use super::machine::{Machine, is_dear};
use super::shared::Shared;
use crate::clock::base::Base;
use crate::clock::source::{Clocksource, Refusal, TimeSource};

thread_local! {
    static MONOTONIC_ANCHOR: Anchor = const { Anchor::new() };
    static BOOT_ANCHOR: Anchor = const { Anchor::new() };
}

static MONOTONIC: Shared = Shared::new();
static BOOT: Shared = Shared::new();

/// Returns the time of a clock; `None` if the kernel refuses it.
#[inline(always)]
pub(in crate::clock) fn now(base: Base) -> Option<u64> {
    match base {
        Base::Monotonic => MONOTONIC_ANCHOR.with(|anchor| anchor.now(&Processor(base), &MONOTONIC)),
        Base::Boot => BOOT_ANCHOR.with(|anchor| anchor.now(&Processor(base), &BOOT)),
    }
}

/// Returns what a clock is read from now, and why.
pub(in crate::clock) fn source(base: Base) -> TimeSource {
    // The first read looks for the counter.
    _ = now(base);
    match base {
        Base::Monotonic => MONOTONIC.source(),
        Base::Boot => BOOT.source(),
    }
}

/// This machine, with the clock that its counter is held to.
struct Processor(Base);

/// What the kernel calls the counter.
#[cfg(target_arch = "x86_64")]
const COUNTER: &str = "tsc";
#[cfg(target_arch = "aarch64")]
const COUNTER: &str = "arch_sys_counter";

#[cfg(target_arch = "x86_64")]
impl Processor {
    #[inline(always)]
    fn counter() -> u64 {
        // SAFETY: every x86-64 processor has the counter, and `look` found that the process may read it.
        unsafe { std::arch::x86_64::_rdtsc() }
    }

    /// Waits until every earlier instruction has ended.
    fn fence() {
        // SAFETY: every x86-64 processor has the instruction.
        unsafe { std::arch::x86_64::_mm_lfence() };
    }

    fn is_steady() -> bool {
        // The first processor's flags are within the first 8 KiB.
        let mut text = [0; 8_192];
        let flags = read("/proc/cpuinfo", &mut text).and_then(|text| {
            text.split(|byte| *byte == b'\n').find(|line| line.starts_with(b"flags"))
        });
        let has = |name: &[u8]| {
            flags.is_some_and(|flags| flags.split(u8::is_ascii_whitespace).any(|flag| flag == name))
        };
        has(b"constant_tsc") && has(b"nonstop_tsc")
    }

    /// Returns whether the process may read the counter. Where the kernel does not know the question, it
    /// may.
    fn is_allowed() -> bool {
        let mut answer: libc::c_int = libc::PR_TSC_ENABLE;
        // SAFETY: the call writes to `answer`, and to nothing else.
        unsafe { libc::prctl(libc::PR_GET_TSC, &raw mut answer) };
        answer == libc::PR_TSC_ENABLE
    }
}

#[cfg(target_arch = "aarch64")]
impl Processor {
    #[inline(always)]
    fn counter() -> u64 {
        let tick;
        // SAFETY: the kernel lets every process read the counter, or emulates the read.
        unsafe {
            std::arch::asm!(
                "mrs {}, cntvct_el0",
                out(reg) tick,
                options(nomem, nostack, preserves_flags)
            );
        }
        tick
    }

    /// Waits until every earlier instruction has ended.
    fn fence() {
        // SAFETY: the instruction changes nothing that the program can observe.
        unsafe { std::arch::asm!("isb", options(nostack, preserves_flags)) };
    }

    /// The architecture promises it.
    fn is_steady() -> bool {
        true
    }

    /// Nothing takes the counter from one process.
    fn is_allowed() -> bool {
        true
    }
}

impl Machine for Processor {
    // An x86-64 processor never returns one value twice. The counter of aarch64 may be slower than two
    // reads are.
    const IS_STRICT: bool = cfg!(target_arch = "x86_64");

    #[inline(always)]
    fn tick(&self) -> u64 {
        Self::counter()
    }

    fn ordered_tick(&self) -> u64 {
        Self::fence();
        let tick = Self::counter();
        Self::fence();
        tick
    }

    fn kernel(&self) -> Option<u64> {
        self.0.kernel()
    }

    fn look(&self) -> Result<(), Refusal> {
        const CURRENT: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
        if !Self::is_allowed() {
            return Err(Refusal::Forbidden);
        }
        let mut text = [0; 64];
        let name = Clocksource::new(read(CURRENT, &mut text).ok_or(Refusal::NoSys)?);
        if name.as_str() == COUNTER { Ok(()) } else { Err(Refusal::Clocksource(name)) }
    }

    fn examine(&self) -> Result<(), Refusal> {
        if !Self::is_steady() {
            return Err(Refusal::Unsteady);
        }
        match is_dear(self) {
            Some(true) => Err(Refusal::Dear),
            Some(false) => Ok(()),
            None => Err(Refusal::NoClock),
        }
    }
}

/// Reads the beginning of a file, as far as there is room. Allocates nothing.
fn read<'a>(path: &str, text: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut file = File::open(path).ok()?;
    let mut length = 0;
    while length < text.len() {
        match file.read(&mut text[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    Some(&text[..length])
}
