//! What a clock reads: the processor's counter, the kernel's clock, and what says whether the counter
//! can be trusted. Tests and models play it.

use crate::clock::source::Refusal;

/// A counter and a clock of the kernel that count the same time.
pub(crate) trait Machine {
    /// Whether two reads in a row differ by at least one. If not, they may be equal.
    const IS_STRICT: bool;

    /// Reads the counter. The processor may do that before what precedes it in the program.
    fn tick(&self) -> u64;

    /// Reads the counter after what precedes, and before what follows.
    fn ordered_tick(&self) -> u64;

    /// Reads the kernel's clock, in nanoseconds; `None` if the kernel refuses that clock.
    fn kernel(&self) -> Option<u64>;

    /// Looks at what may change while the process runs: whether the kernel itself uses the counter, and
    /// whether the process may read it. Does not read the counter.
    fn look(&self) -> Result<(), Refusal>;

    /// Looks at what does not change: the processor's kind.
    fn examine(&self) -> Result<(), Refusal>;
}

/// How often the counter and the kernel are read to compare their cost.
const READS: usize = 16;

/// Returns whether a read of the counter costs more than one of the kernel's clock: it is trapped then.
/// The least of three rounds counts, since the thread may lose its processor in any of them.
pub(crate) fn is_dear(machine: &impl Machine) -> Option<bool> {
    let (mut counter, mut kernel) = (u64::MAX, u64::MAX);
    for _ in 0..3 {
        let start = machine.kernel()?;
        for _ in 0..READS {
            std::hint::black_box(machine.tick());
        }
        let middle = machine.kernel()?;
        for _ in 0..READS {
            std::hint::black_box(machine.kernel()?);
        }
        let end = machine.kernel()?;
        counter = counter.min(middle.saturating_sub(start));
        kernel = kernel.min(end.saturating_sub(middle));
    }
    Some(counter > kernel)
}
