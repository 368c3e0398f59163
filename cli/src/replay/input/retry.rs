//! Reads that signals interrupt.

use std::io::{self, ErrorKind, Read};

/// Reads once. A read that a signal interrupts is retried.
pub(super) fn read(input: &mut (impl Read + ?Sized), buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
