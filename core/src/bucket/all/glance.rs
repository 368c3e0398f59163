//! A call whose buckets are all found at first sight, as nearly all are.
//!
//! Each limit yields a glance: the word of its bucket, and the time that the charge would leave there.
//! If all limits yield one, and no two are of one bucket, the words are exchanged one after another in
//! the order of all calls. Everything else is out of line, and works on copies, so that the compiler
//! keeps the glances in registers.

use super::limit::{Glance, Steps};
use super::{MAX_LIMITS, limit};

/// How far a call has come at first sight.
pub(super) enum Sight {
    /// Every bucket is charged.
    Charged,
    /// The first buckets in the order of all calls are charged: as many as this says. Another call
    /// came before the next charge.
    Overtaken(usize),
    /// Nothing is charged: the call needs a closer look.
    Unclear,
}

/// Charges all of `limits`, if each is found at first sight.
#[inline(always)]
pub(super) fn charge<'a, L: Steps, const N: usize>(
    limits: &'a [L; N],
    glances: &mut [Option<Glance<'a>>; N],
) -> Sight {
    // By hand: the compiler does not unroll a body as long as this one.
    let mut are_found = glance(limits, glances, 0)
        && glance(limits, glances, 1)
        && glance(limits, glances, 2)
        && glance(limits, glances, 3);
    for at in 4..N {
        are_found = are_found && glance(limits, glances, at);
    }
    if !are_found {
        return Sight::Unclear;
    }
    let mut is_ascending = true;
    for at in 1..N {
        if let (Some(before), Some(glance)) = (&glances[at - 1], &glances[at]) {
            is_ascending &= before.bucket.structure < glance.bucket.structure;
        }
    }
    if !is_ascending {
        // A copy, so that the array itself need not be in memory.
        return charge_in_order(&{ *glances });
    }
    for (done, glance) in glances.iter().enumerate() {
        if let Some(glance) = glance
            && !glance.charge()
        {
            return Sight::Overtaken(done);
        }
    }
    Sight::Charged
}

/// Glances at the limit at the index `at`. Returns `false` if its bucket is not found; does nothing
/// beyond the last limit.
#[inline(always)]
fn glance<'a, L: Steps, const N: usize>(
    limits: &'a [L; N],
    glances: &mut [Option<Glance<'a>>; N],
    at: usize,
) -> bool {
    if at < N {
        let Some(glance) = limits[at].glance() else { return false };
        glances[at] = Some(glance);
    }
    true
}

/// Charges all buckets in the order of all calls, unless two are the same.
#[inline(never)]
fn charge_in_order(glances: &[Option<Glance<'_>>]) -> Sight {
    let mut order = [0; MAX_LIMITS];
    let order = &mut order[..glances.len()];
    if !sort(glances, order) {
        return Sight::Unclear;
    }
    for (done, &at) in order.iter().enumerate() {
        if let Some(glance) = &glances[usize::from(at)]
            && !glance.charge()
        {
            return Sight::Overtaken(done);
        }
    }
    Sight::Charged
}

/// Puts the limits of a call, all of which are found, into the order of all calls. Returns whether no two
/// are of one bucket.
pub(super) fn sort(glances: &[Option<Glance<'_>>], order: &mut [u8]) -> bool {
    limit::sort(|at| glances[at].map(|glance| glance.bucket), order)
}
