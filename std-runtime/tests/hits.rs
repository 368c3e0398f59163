//! What is there is had without an allocation, whoever else might have had to make it.

#[path = "../../core/tests/common/allocator.rs"]
mod allocator;

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use allocator::allocations;
use tidegate::lockfree::Cache;
use tidegate::refresh::{Minted, Refresher};
use tidegate::{GetOrLoad, LoadError, clock, domain, random_state, wait};

#[test]
fn a_hit_and_a_valid_token_allocate_nothing() {
    let pages: Cache<u32, u32, LoadError<String>> =
        Cache::builder(domain(), random_state()).max_entries(100).build().expect("memory");
    let hour = Duration::from_secs(3_600);
    let mint = move || Ok::<_, String>(Minted { value: 7, ttl: hour.into() });
    let token = Refresher::builder(mint).build().expect("a token");
    let from_async = Refresher::from_async(move || std::future::ready(mint()));
    let from_async = wait::block_on(from_async.build()).expect("a token");
    let ask = || {
        assert_eq!(pages.get_or_load(&1, |_| Ok(10), &clock()), Ok(10));
        assert_eq!(token.get().map(|value| *value), Ok(7));
        let mut context = Context::from_waker(Waker::noop());
        let served = pin!(from_async.get_async()).poll(&mut context);
        assert_eq!(served.map_ok(|value| *value), Poll::Ready(Ok(7)));
    };
    // The first loads, and what is a thread's own is made.
    ask();
    let before = allocations();
    for _ in 0..5_000 {
        ask();
    }
    assert_eq!(allocations() - before, 0);

    // And it would be noticed: a task that waits for a miss allocates.
    let load = |_| std::future::ready(Ok(20));
    assert_eq!(wait::block_on(pages.get_or_load_async(&2, load, &clock())), Ok(20));
    assert!(allocations() > before);
}
