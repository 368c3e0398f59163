//! Has a cache give up entries when memory is short, here by a source that says so.
//!
//! ```sh
//! cargo run --release -p tidegate --example pressure
//! ```

use std::error::Error;

use tidegate::pressure::{Medium, Pool, Pressure, Priority, Rules, Sample, Watermarks, from_fn};
use tidegate::{Cache, Runtime};

fn main() -> Result<(), Box<dyn Error>> {
    let pages = Cache::builder().weigher(|_, page: &Vec<u8>| page.len() as u64).build();
    (0..100).for_each(|number| pages.insert(number, vec![0; 100_000]));

    let pool = Pool::new();
    pool.add("pages", &pages, Priority(0), 1_000_000)?; // of which 1 MB always stays
    // In a service: Cgroup::new(Root::system()), Meminfo, Psi, or max_of several of them.
    let held = pages.clone();
    let sample = move || Sample::bytes(held.weighted_size(), 10_000_000, "");
    let memory = from_fn("made up", Medium::Host, sample);
    let rules = Rules::new(Watermarks::percent(80, 50)?); // and 30 % at most at a time
    let runtime = Runtime::builder().build()?;
    let pressure = runtime.pressure("memory", Pressure::builder(memory, &pool).rules(rules))?;
    println!("{} bytes", pages.weighted_size());
    println!("{}", pressure.force_check()?); // once started: every 5 s
    println!("{} bytes", pages.weighted_size());
    Ok(())
}
