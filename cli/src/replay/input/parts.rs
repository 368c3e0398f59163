//! Packed parts, one behind the other, and what follows them.

use std::io::{self, BufRead};

use super::raw::Raw;

/// What follows a packed part.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another part.
    Part,
    /// Nothing, or zeros: padding to whole blocks.
    End,
    Garbage,
}

/// Skips zeros, and returns what follows. `begins` knows the beginning of a part by four bytes.
pub(super) fn next(raw: &mut Raw, begins: impl Fn(&[u8]) -> bool) -> io::Result<Next> {
    loop {
        let held = raw.fill_buf()?;
        if held.is_empty() {
            return Ok(Next::End);
        }
        match held.iter().position(|&byte| byte != 0) {
            Some(0) => break,
            zeros => {
                let zeros = zeros.unwrap_or(held.len());
                raw.consume(zeros);
            }
        }
    }
    Ok(if begins(raw.peek(4)?) { Next::Part } else { Next::Garbage })
}
