//! A system call of a confined thread ends its process.

#![cfg(target_os = "linux")]

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use tidegate_packet_loop::confine;

const INNER: &str = "TIDEGATE_CONFINED";

#[test]
fn a_system_call_kills_the_process() {
    if std::env::var_os(INNER).is_some() {
        if let Err(error) = confine::no_system_calls() {
            eprintln!("skipped: {error}");
            return;
        }
        // A write, which is a system call.
        eprintln!("still here");
        return;
    }
    let this = std::env::current_exe().expect("this test");
    let mut inner = Command::new(this);
    inner.args(["a_system_call_kills_the_process", "--exact", "--nocapture"]).env(INNER, "");
    let output = inner.output().expect("the test runs in a process of its own");
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() && said.contains("skipped") {
        eprintln!("{said}");
        return;
    }
    assert_eq!(output.status.signal(), Some(libc::SIGSYS), "{output:?}");
    assert!(!said.contains("still here"), "{said}");
}
