//! Runs a piece of work once for all callers that come while it runs, and stores nothing.
//!
//! ```sh
//! cargo run --release -p tidegate --example single_flight
//! ```

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use tidegate::SingleFlight;

fn main() {
    let reports: SingleFlight<String, usize, String> = SingleFlight::new();
    let together = Barrier::new(4);
    let run = || {
        together.wait();
        let make = || {
            println!("makes the report");
            thread::sleep(Duration::from_millis(100));
            Ok(42)
        };
        reports.run_within("monthly", Duration::from_secs(5), make)
    };
    let results = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
    });
    println!("{results:?}, {} in flight", reports.in_flight());
}
