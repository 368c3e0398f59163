//! Limits each client to 60 requests a minute, in bursts of up to 3, and paying clients to 600.
//!
//! ```sh
//! cargo run --release -p tidegate --example rate_limit
//! ```

use tidegate::{Quota, QuotaError, RateLimiter};

fn main() -> Result<(), QuotaError> {
    let (free, paid) = (Quota::per_minute(60)?.burst(3)?, Quota::per_minute(600)?);
    let limiter = RateLimiter::builder(free).also(paid).keys(100_000).build()?;

    for request in 1..=4 {
        let decision = limiter.check("203.0.113.7");
        match decision.retry_after() {
            _ if decision.is_admitted() => println!("{request}: {} left", decision.remaining()),
            Some(wait) => println!("{request}: denied, try again in {wait:.1?}"),
            None => println!("{request}: denied, and always will be"),
        }
    }

    // A client with a quota of its own, and a request that costs as much as five others.
    let paid = limiter.plan(paid)?;
    let decision = limiter.check_n_with("198.51.100.1", &paid, 5);
    println!("a paying client: {} of {} left", decision.remaining(), decision.limit());
    Ok(())
}
