//! Keeps an access token fresh: a thread renews it before it ends, and no caller waits for that.
//!
//! ```sh
//! cargo run --release -p tidegate --example refresh
//! ```

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use tidegate::refresh::Minted;
use tidegate::{Refresher, Runtime};

fn main() -> Result<(), Box<dyn Error>> {
    let minted = AtomicU32::new(0);
    let token = Refresher::builder(move || {
        let value = format!("token {}", minted.fetch_add(1, Relaxed) + 1);
        Ok::<_, String>(Minted { value, ttl: Duration::from_millis(200).into() })
    });
    let token = Arc::new(token.spacing(Duration::ZERO, Duration::from_secs(60)).build()?);
    let runtime = Runtime::builder().build()?;
    runtime.refresh("token", Duration::from_millis(10), Arc::clone(&token))?;
    runtime.start()?;
    for _ in 0..5 {
        println!("{}", token.get()?);
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
