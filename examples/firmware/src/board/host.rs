//! The machine that builds the images: a thread stands for the interrupt.

use std::fmt::Arguments;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// What the board is called.
pub const NAME: &str = "host";

static START: LazyLock<Instant> = LazyLock::new(Instant::now);
static RUNS: AtomicBool = AtomicBool::new(false);
static INTERRUPTS: Mutex<Option<JoinHandle<()>>> = Mutex::new(None);

/// Starts the counter.
pub fn start_counter() {
    LazyLock::force(&START);
}

/// Returns the nanoseconds since the counter was started.
pub fn nanos() -> u64 {
    START.elapsed().as_nanos() as u64
}

/// Calls `handler` again and again on another thread, at least once.
pub fn start_ticks(handler: fn()) {
    // Relaxed: it says when to end, and nothing else.
    RUNS.store(true, Ordering::Relaxed);
    let thread = thread::spawn(move || {
        loop {
            handler();
            if !RUNS.load(Ordering::Relaxed) {
                return;
            }
            thread::yield_now();
        }
    });
    if let Ok(mut interrupts) = INTERRUPTS.lock() {
        *interrupts = Some(thread);
    }
}

/// Stops the calls.
pub fn stop_ticks() {
    RUNS.store(false, Ordering::Relaxed);
    let thread = INTERRUPTS.lock().ok().and_then(|mut interrupts| interrupts.take());
    // A panic of the handler has been printed.
    _ = thread.map(JoinHandle::join);
}

/// Prints.
pub fn print(text: Arguments<'_>) {
    print!("{text}");
}

/// Prints, without formatting.
pub fn write(bytes: &[u8]) {
    use std::io::Write as _;
    // An error cannot be reported: this is the only output.
    _ = std::io::stdout().write_all(bytes);
}

/// Ends the program: with status 0, or with 1.
pub fn exit(is_well: bool) -> ! {
    std::process::exit(i32::from(!is_well))
}
