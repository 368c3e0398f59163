//! Loads a value once, though eight threads ask for it at the same time.
//!
//! ```sh
//! cargo run --release -p tidegate --example load
//! ```

use std::io::{Error, ErrorKind};
use std::thread;
use std::time::Duration;

use tidegate::Cache;

fn user(id: u64) -> Result<String, Error> {
    println!("asks the database for user {id}");
    thread::sleep(Duration::from_millis(50));
    if id == 7 { Ok("Ada".to_owned()) } else { Err(ErrorKind::NotFound.into()) }
}

fn main() {
    let users = Cache::builder().max_capacity(10_000).time_to_live(Duration::from_secs(60)).build();
    let ask = || users.try_get_with(7, || user(7)).map_err(|error| error.kind());
    let names = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()?.ok()).collect::<Vec<_>>()
    });
    println!("{} callers got {:?}", names.len(), names[0]);
    // An error goes to the callers that waited for it, and is not stored.
    println!("{:?}", users.try_get_with(8, || user(8)).map_err(|error| error.kind()));
}
