//! Keeps sessions in a map, and has those removed that were idle for too long.
//!
//! ```sh
//! cargo run --release -p tidegate --example map
//! ```

use std::thread;
use std::time::{Duration, Instant};

use tidegate::{ConfigError, Map};

const IDLE: Duration = Duration::from_millis(100);

fn main() -> Result<(), ConfigError> {
    // A thread of the process looks every 10 ms.
    let idle = |_user: &String, seen: &Instant| seen.elapsed() > IDLE;
    let sessions = Map::builder().sweep(IDLE / 10, idle).build()?;
    sessions.insert("alice".to_owned(), Instant::now());
    sessions.insert("bob".to_owned(), Instant::now());
    println!("{} sessions", sessions.len());

    for _ in 0..10 {
        thread::sleep(IDLE / 5);
        sessions.insert("alice".to_owned(), Instant::now());
    }
    let sessions = sessions.pin(); // to read by reference
    println!("still there: {:?}", sessions.iter().map(|(user, _)| user).collect::<Vec<_>>());
    Ok(())
}
