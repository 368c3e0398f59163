//! What quotas do to the traffic.
//!
//! # Algorithm
//!
//! Keys are independent, so each key's requests are decided one after another, in the order of
//! their times, with buckets that serve all keys in turn: nothing is kept for a key but what the
//! answer needs. One index of the requests by key ([`ByKey`]) serves every quota and both readings.
//!
//! The arithmetic is exact: see [`rule`]. With a capacity the library's own table decides instead,
//! in the order of the times: see [`table`].

mod bits;
mod by_key;
mod exact;
mod fates;
mod first_at;
mod live;
#[cfg(test)]
pub(super) mod model;
mod rule;
mod table;
mod tally;
#[cfg(test)]
mod tests;
mod visit;

pub(crate) use self::table::{Capacity, MOST_KEYS};

pub(super) use self::by_key::ByKey;
pub(super) use self::rule::{Buckets, Fate};
pub(super) use self::visit::{Ticks, Visit, each_visit};

use self::first_at::FirstAt;
use super::limit::Limit;
use super::outcome::{Run, Spread, Tally};
use super::traffic::Traffic;
use crate::failure::Failure;

/// The most limits that one request may meet.
pub(crate) const MOST_LIMITS: usize = tidegate::lockfree::bucket::MAX_LIMITS;

/// The limits of one run, and how they are to be replayed. A question is made before the input is
/// read, so that a mistake in it is found first.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    limits: Vec<Limit>,
    table: Option<table::Compiled>,
}

impl Question {
    /// Creates a question of limits that share a key. With a capacity the library's table decides.
    ///
    /// # Errors
    ///
    /// Fails if there are no limits or more than 16, or for a limit that the table refuses.
    pub(crate) fn new(limits: &[Limit], capacity: Option<Capacity>) -> Result<Self, Failure> {
        if limits.is_empty() || limits.len() > MOST_LIMITS {
            let given = limits.len();
            return Err(Failure::new(
                "--limit",
                format_args!("given {given} times, not 1 to {MOST_LIMITS}"),
            ));
        }
        let table = capacity.map(|capacity| table::Compiled::new(limits, capacity)).transpose()?;
        Ok(Self { limits: limits.to_vec(), table })
    }
}

/// How much of the result is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Detail {
    /// How many of the most denied keys are wanted.
    pub(crate) top: usize,
    /// The most columns of a timeline.
    pub(crate) columns: usize,
}

/// The traffic, ready for any number of questions.
#[derive(Debug)]
pub(crate) struct Replay<'a> {
    pub(super) traffic: &'a Traffic,
    pub(super) by_key: ByKey,
    pub(super) ticks: Ticks,
    first_at: FirstAt,
    /// The reading that was asked for, or both if they may differ, or `None` if they cannot.
    readings: Vec<Option<Spread>>,
}

impl<'a> Replay<'a> {
    /// Prepares the traffic. `spread` picks one reading of the stamps; without it there are two
    /// where any key has several requests in one tick of stamps coarser than a nanosecond.
    ///
    /// # Errors
    ///
    /// Fails for 2^32 requests or more.
    pub(crate) fn new(traffic: &'a Traffic, spread: Option<Spread>) -> Result<Self, Failure> {
        let by_key = ByKey::new(traffic)?;
        let ticks = Ticks::new(traffic);
        let readings = match spread {
            Some(_) => vec![spread],
            None if ticks.are_coarse() && by_key.any_shares_a_tick(traffic) => {
                vec![Some(Spread::Even), Some(Spread::None)]
            }
            None => vec![None],
        };
        Ok(Self { first_at: FirstAt::new(traffic), traffic, by_key, ticks, readings })
    }

    /// Returns the readings of the stamps, of which there are one or two.
    pub(super) fn readings(&self) -> &[Option<Spread>] {
        &self.readings
    }

    /// Replays one question, both readings at once.
    ///
    /// # Errors
    ///
    /// Fails if there is no memory for a table of the capacity.
    pub(crate) fn run(&self, question: &Question, detail: Detail) -> Result<Run, Failure> {
        let read = |&spread: &Option<Spread>| self.read(question, spread, detail);
        let mut readings = match &*self.readings {
            [even, none] => {
                let (even, none) = both(|| read(even), || read(none));
                vec![even?, none?]
            }
            one => one.iter().map(read).collect::<Result<Vec<_>, _>>()?,
        };
        // Two readings that say the same leave no doubt.
        if let [even, none] = &mut *readings
            && *even == (Tally { spread: even.spread, ..none.clone() })
        {
            none.spread = None;
            readings.swap_remove(0);
        }
        Ok(Run { limits: question.limits.iter().map(Limit::to_string).collect(), readings })
    }

    fn read(
        &self,
        question: &Question,
        spread: Option<Spread>,
        detail: Detail,
    ) -> Result<Tally, Failure> {
        let (mut fates, peak) = self.decide(&question.limits, spread);
        if let Some(table) = &question.table {
            fates = table.decide(self.traffic, &self.ticks, spread)?;
        }
        Ok(tally::tally(self, spread, &fates, peak, detail))
    }
}

/// Runs two functions at once, one of them on a thread of its own. Returns what both return.
fn both<A: Send, B: Send>(one: impl FnOnce() -> A + Send, other: impl FnOnce() -> B) -> (A, B) {
    std::thread::scope(|scope| {
        let one = scope.spawn(one);
        let other = other();
        (one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), other)
    })
}
