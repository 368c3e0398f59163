//! Limits the requests and the tokens of each client of a language model. What a call costs is known
//! only afterwards: an estimate is charged first, and settled then.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tidegate::{ExactRateLimiter, ManualClock, Quota, QuotaError, RateLimiter, reserve_all};

/// A call takes 5 s and uses 200, 500 or 800 tokens. A client may ask for 4,000.
const CALL: Duration = Duration::from_secs(5);
const USED: [u64; 3] = [200, 500, 800];
const STEP: Duration = Duration::from_millis(10);

fn main() -> Result<(), QuotaError> {
    one_call()?;
    let quota = Quota::per_minute(60_000)?;
    println!("\n{:<46} share of 60,000 tokens a minute that can be used", "");
    for (name, estimate, debt, is_exact) in [
        ("RateLimiter, estimates of 4,000", 4_000, 0, false),
        ("ExactRateLimiter, estimates of 4,000", 4_000, 0, true),
        ("RateLimiter, estimates of 200 and debt", 200, 60_000, false),
        ("ExactRateLimiter, estimates of 200 and debt", 200, 60_000, true),
    ] {
        let clock = Arc::new(ManualClock::new());
        let share = if is_exact {
            let limiter: ExactRateLimiter<String> =
                ExactRateLimiter::builder(quota.debt(debt)?).clock(Arc::clone(&clock)).build()?;
            usable(&clock, || {
                let ours = limiter.reserve("alice", estimate).ok()?;
                Some(Box::new(|used| _ = ours.settle(used)))
            })
        } else {
            let limiter: RateLimiter<str> =
                RateLimiter::builder(quota.debt(debt)?).clock(Arc::clone(&clock)).build()?;
            usable(&clock, || {
                let ours = limiter.reserve("alice", estimate).ok()?;
                Some(Box::new(|used| _ = ours.settle(used)))
            })
        };
        println!("{name:<46} {share:3.0} %");
    }
    println!(
        "\nEstimate the least that a call uses, and let the plan go into debt for the rest: every limiter\n\
         then serves the whole rate. If no client may ever pass its quota, estimate the most that a call\n\
         can use, and take an ExactRateLimiter, which gives back what was not used."
    );
    Ok(())
}

/// A request and its tokens are admitted together, or not at all.
fn one_call() -> Result<(), QuotaError> {
    let requests = RateLimiter::new(Quota::per_minute(60)?, 10_000)?;
    let tokens = RateLimiter::new(Quota::per_minute(60_000)?.debt(10_000)?, 10_000)?;
    match reserve_all([requests.limit_n("alice", 1), tokens.limit_n("alice", 4_000)]) {
        Ok(reserved) => {
            let used = 1_500; // calls the model
            let [_, settled] = reserved.settle([1, used]);
            println!("used {used} of 4000 tokens; {} came back", settled.given_back());
        }
        Err(denied) => println!("429, Retry-After: {:?}", denied.retry_after()),
    }
    Ok(())
}

type Settle<'a> = Box<dyn FnOnce(u64) + 'a>;

/// Plays twelve minutes in which clients ask whenever they may, and counts the last ten.
fn usable<'a>(clock: &ManualClock, ask: impl Fn() -> Option<Settle<'a>>) -> f64 {
    let (mut used, mut calls) = (0, USED.into_iter().cycle());
    let mut running: VecDeque<(u32, Settle<'a>)> = VecDeque::new();
    let (per_call, steps) = ((CALL.as_millis() / STEP.as_millis()) as u32, 72_000);
    for step in 0..steps {
        while running.front().is_some_and(|&(end, _)| end <= step) {
            let (cost, (_, settle)) =
                (calls.next().unwrap_or(0), running.pop_front().expect("one"));
            settle(cost);
            used += if step < 12_000 { 0 } else { cost };
        }
        while let Some(settle) = ask() {
            running.push_back((step + per_call, settle));
        }
        clock.advance(STEP);
    }
    used as f64 / (60_000.0 * 10.0) * 100.0
}
