//! What the main loop does: the same on every machine, answer by answer.

use core::time::Duration;

use tidegate_core::flight::{Caller, LocalClaim};
use tidegate_core::registry::FixedLease;
use tidegate_core::{Decision, Instant, Plan};

use crate::device::{Device, plan};

/// The loop charges devices of these numbers; the interrupt charges others.
const DEVICES: u32 = 180;
const LOOP: Caller = Caller(1);
const PLANS: [Plan; 3] = [
    plan(60, 60, 10, Duration::ZERO),
    plan(2, 1, 4, Duration::ZERO),
    // A queue: up to 2 s behind the burst.
    plan(30, 60, 3, Duration::from_secs(2)),
];
const SERVICES: [&str; 12] = [
    "clock", "fan", "heater", "lamp", "lock", "meter", "motor", "pump", "radio", "relay", "siren",
    "valve",
];

/// A sequence of calls that depends on nothing but the number of steps, and a digest of all their
/// answers.
pub struct History {
    random: u64,
    digest: u64,
    now: Instant,
    /// The last charge, which may be given back.
    charged: Option<(u32, Decision)>,
    lease: Option<FixedLease>,
    claim: Option<LocalClaim>,
}

impl History {
    /// Creates a history of which nothing has happened yet.
    pub const fn new() -> Self {
        Self {
            random: 0x9e37_79b9_7f4a_7c15,
            digest: 0xcbf2_9ce4_8422_2325,
            now: Instant::from_secs(1),
            charged: None,
            lease: None,
            claim: None,
        }
    }

    /// Makes the next call, up to 40 ms after the last.
    pub fn step(&mut self, device: &mut Device) {
        let random = self.random();
        self.now = self.now + Duration::from_micros(u64::from(random % 40_000));
        device.now = self.now;
        let what = self.random();
        match what % 16 {
            0 => self.advertise(device, what >> 8),
            1 => self.renew(device, what >> 8),
            2 => self.claim(device),
            3 => self.refund(device, what >> 8),
            _ => self.check(device, what >> 8),
        }
    }

    /// Returns the digest of all answers so far.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    fn check(&mut self, device: &mut Device, random: u32) {
        let key = random % DEVICES;
        let plan = &PLANS[(key % 3) as usize];
        let cost = u64::from(random >> 16) % 5;
        let decision = device.limiter.check_n(&key, plan, cost, self.now);
        self.note(u64::from(decision.is_admitted()));
        self.note(decision.remaining());
        self.note(decision.retry_after().map_or(u64::MAX, nanos));
        self.note(nanos(decision.delay()));
        self.charged = Some((key, decision));
    }

    fn refund(&mut self, device: &mut Device, random: u32) {
        if let Some((key, decision)) = self.charged.take() {
            device.limiter.refund(&key, &decision, u64::from(random % 3), self.now);
            let plan = &PLANS[(key % 3) as usize];
            self.note(nanos(device.limiter.peek(&key, plan, self.now).reset_after()));
        }
    }

    fn advertise(&mut self, device: &mut Device, random: u32) {
        let id = SERVICES[random as usize % SERVICES.len()];
        match device.services.advertise(id, random, self.now) {
            Ok(entered) => {
                let displaced = entered.displaced.map(|displaced| displaced.value);
                self.note(displaced.map_or(u64::MAX, u64::from));
                self.lease = Some(entered.lease);
            }
            Err(_) => self.note(0),
        }
    }

    fn renew(&mut self, device: &mut Device, random: u32) {
        let id = SERVICES[random as usize % SERVICES.len()];
        let found = device.services.resolve(id, self.now).copied();
        self.note(found.map_or(u64::MAX, u64::from));
        let Some(lease) = self.lease.take() else { return };
        if random >> 16 & 3 == 0 {
            let gone = device.services.withdraw(lease, self.now);
            self.note(gone.map_or(u64::MAX, u64::from));
        } else if device.services.renew(&lease, self.now).is_ok() {
            self.note(1);
            self.lease = Some(lease);
        } else {
            self.note(0);
        }
        let pruned = device.services.prune(|_, _| (), self.now);
        self.note(pruned as u64);
    }

    /// Gives the claim back if there is one, and claims otherwise. Leases are short enough to end.
    fn claim(&mut self, device: &mut Device) {
        let lease = Some(Duration::from_millis(500));
        let answer = match self.claim.take() {
            Some(claim) => u64::from(device.flash.release(claim).is_ok()),
            None => {
                self.claim = device.flash.claim(LOOP, lease, self.now).ok();
                2 + u64::from(self.claim.is_some())
            }
        };
        self.note(answer);
    }

    /// Adds an answer to the digest (FNV-1a by words).
    fn note(&mut self, answer: u64) {
        self.digest = (self.digest ^ answer).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    }

    /// Returns the next of a sequence of random numbers (xorshift).
    fn random(&mut self) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 32) as u32
    }
}

impl Default for History {
    fn default() -> Self {
        Self::new()
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
