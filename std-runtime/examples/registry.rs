//! Finds a service of this process by name, for as long as the service renews its lease.
//!
//! ```sh
//! cargo run --release -p tidegate --example registry
//! ```

use std::thread;
use std::time::Duration;

use tidegate::Registry;
use tidegate::registry::Terms;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ttl = Duration::from_millis(400);
    let registry: Registry<_, fn(u32) -> u32> =
        Registry::builder().services(Terms::new(ttl)).build();
    let lease = registry.services().advertise("double", |x| 2 * x)?;
    let service = thread::spawn(move || {
        for _ in 0..5 {
            thread::sleep(ttl / 4);
            lease.renew().expect("in time");
        }
    });
    let double = registry.services().resolve("double").expect("just advertised");
    service.join().expect("no panic"); // it ends without a word
    println!("{}, still there: {}", double(21), registry.services().resolve("double").is_some());
    thread::sleep(2 * ttl);
    println!("still there: {}", registry.services().resolve("double").is_some());
    Ok(())
}
