//! A packet loop: one thread a processor takes bursts of frames, polices them, and sweeps in between.

#[cfg(target_os = "linux")]
mod command;
#[cfg(target_os = "linux")]
mod fleet;
#[cfg(target_os = "linux")]
mod record;

fn main() -> std::process::ExitCode {
    #[cfg(target_os = "linux")]
    return command::run();
    #[cfg(not(target_os = "linux"))]
    {
        eprintln!("packet-loop: needs Linux");
        std::process::ExitCode::from(2)
    }
}
