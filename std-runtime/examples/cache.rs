//! Keeps pages for a minute, at most a mebibyte of them, and prints why a page was removed.
//!
//! ```sh
//! cargo run --release -p tidegate --example cache
//! ```

use std::time::Duration;

use tidegate::Cache;

fn main() {
    let pages: Cache<String, String> = Cache::builder()
        .max_capacity(1 << 20)
        .weigher(|url: &String, page: &String| (url.len() + page.len()) as u64)
        .time_to_live(Duration::from_secs(60))
        .eviction_listener(|url, _page, cause| println!("removed {url}: {cause:?}"))
        .build();

    pages.insert("/home".to_owned(), "Welcome".to_owned());
    println!("{:?}", pages.get("/home"));
    pages.insert("/home".to_owned(), "Welcome back".to_owned());
    pages.invalidate("/home");
    println!("{:?}", pages.get("/home"));

    // Three pages of 400 KiB do not fit: the oldest is evicted.
    (1..=3).for_each(|page| pages.insert(format!("/{page}"), "p".repeat(400 << 10)));
    println!("{} entries of {} bytes", pages.entry_count(), pages.weighted_size());
}
