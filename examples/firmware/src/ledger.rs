//! What the interrupt charges, and an account of it that does not use the limiter's arithmetic.

use core::time::Duration;

use tidegate_core::flight::{Caller, LocalClaim, LocalClaimError};
use tidegate_core::{Instant, Plan};

use crate::device::{Device, plan};

const KEYS: usize = 4;
/// The interrupt's keys are this and the next ones.
const FIRST: u32 = 1_000;
/// One in two seconds, at most 5 at once.
const ALARM: Plan = plan(1, 2, BURST, Duration::ZERO);
const CELL: u64 = 2_000_000_000;
const BURST: u64 = 5;
const INTERRUPT: Caller = Caller(2);
const LOOP: Caller = Caller(1);

/// An account of everything that the interrupt asked and was answered.
pub struct Ledger {
    /// How often the interrupt came.
    pub ticks: u32,
    /// How often it was admitted.
    pub admitted: u32,
    /// How often it was denied.
    pub denied: u32,
    /// How often either found the radio claimed by the other.
    pub held: u32,
    /// How many answers were not those that the account expects.
    pub faults: u32,
    accounts: [Account; KEYS],
    /// The interrupt's claim of the radio, which it keeps until it comes next.
    claim: Option<LocalClaim>,
    /// Who has the radio, as the claims' answers say.
    holder: Option<Caller>,
}

/// The account of one key.
#[derive(Clone, Copy)]
struct Account {
    /// When the key was first charged, in nanoseconds.
    since: Option<u64>,
    admitted: u64,
    /// When all that was charged will have flowed in again, in nanoseconds.
    until: u64,
}

impl Account {
    /// Returns whether a charge at `now` is to be admitted, and enters it if so.
    fn expect(&mut self, now: u64) -> bool {
        let end = self.until.max(now) + CELL;
        let admitted = end <= now + BURST * CELL;
        if admitted {
            self.until = end;
            self.admitted += 1;
            self.since.get_or_insert(now);
        }
        admitted
    }

    /// Returns the whole cells that are left at `now`.
    fn left(&self, now: u64) -> u64 {
        BURST - self.until.saturating_sub(now).div_ceil(CELL)
    }

    /// Returns whether no more was admitted than the burst and what flowed in since the first
    /// charge.
    fn keeps_the_bound(&self, now: u64) -> bool {
        let flowed = self.since.map_or(0, |since| (now - since) / CELL);
        self.admitted <= BURST + flowed
    }
}

impl Ledger {
    /// Creates a ledger without entries.
    pub const fn new() -> Self {
        Self {
            ticks: 0,
            admitted: 0,
            denied: 0,
            held: 0,
            faults: 0,
            accounts: [Account { since: None, admitted: 0, until: 0 }; KEYS],
            claim: None,
            holder: None,
        }
    }

    /// What the interrupt does: charges the next of its keys, and claims the radio until it comes
    /// again.
    pub fn tick(device: &mut Device) {
        let (now, ledger) = (device.now, &mut device.ledger);
        let index = ledger.ticks as usize % KEYS;
        ledger.ticks += 1;
        let decision = device.limiter.check(&(FIRST + index as u32), &ALARM, now);
        let account = &mut ledger.accounts[index];
        let expected = account.expect(now.as_nanos());
        if expected != decision.is_admitted()
            || account.left(now.as_nanos()) != decision.remaining()
            || decision.is_unplaced()
        {
            ledger.faults += 1;
        }
        if decision.is_admitted() {
            ledger.admitted += 1;
        } else {
            ledger.denied += 1;
        }

        if let Some(claim) = ledger.claim.take() {
            let released = device.radio.release(claim).is_ok();
            ledger.faults += u32::from(!released || ledger.holder.take() != Some(INTERRUPT));
        } else {
            match device.radio.claim(INTERRUPT, None, now) {
                Ok(claim) => {
                    ledger.faults += u32::from(ledger.holder.replace(INTERRUPT).is_some());
                    ledger.claim = Some(claim);
                }
                Err(error) => ledger.refused(error, LOOP),
            }
        }
    }

    /// The main loop's half of the radio: claims it, and returns the claim if the interrupt has not
    /// got it.
    pub fn claim(device: &mut Device) -> Option<LocalClaim> {
        let ledger = &mut device.ledger;
        match device.radio.claim(LOOP, None, device.now) {
            Ok(claim) => {
                ledger.faults += u32::from(ledger.holder.replace(LOOP).is_some());
                Some(claim)
            }
            Err(error) => {
                ledger.refused(error, INTERRUPT);
                None
            }
        }
    }

    /// Gives the main loop's claim back.
    pub fn release(device: &mut Device, claim: LocalClaim) {
        let released = device.radio.release(claim).is_ok();
        let was_ours = device.ledger.holder.take() == Some(LOOP);
        device.ledger.faults += u32::from(!released || !was_ours);
    }

    /// Enters that the radio was refused, which is right if `other` has it.
    fn refused(&mut self, error: LocalClaimError, other: Caller) {
        self.held += 1;
        let right = error == LocalClaimError::Held && self.holder == Some(other);
        self.faults += u32::from(!right);
    }

    /// Closes the ledger at the device's time: returns whether every answer was right, no key got
    /// more than its quota allows, and the limiter had a slot for every key.
    pub fn balances(device: &mut Device) -> bool {
        let now: Instant = device.now;
        let ledger = &device.ledger;
        let mut balances = ledger.faults == 0
            && ledger.admitted + ledger.denied == ledger.ticks
            && device.limiter.counters().unplaced == 0;
        for (key, account) in (FIRST..).zip(&ledger.accounts) {
            let left = device.limiter.peek(&key, &ALARM, now).remaining();
            balances &=
                account.keeps_the_bound(now.as_nanos()) && left == account.left(now.as_nanos());
        }
        balances
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self::new()
    }
}
