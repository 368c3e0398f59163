//! Who claims, and who came too late.

use core::fmt;

/// Who claims: any number that tells those apart who could wait for one another, threads or tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Caller(pub u32);

/// The lease of a claim, or of a leader, has ended, and somebody else has come since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Superseded;

impl fmt::Display for Superseded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the lease has ended, and somebody else has come since")
    }
}

impl core::error::Error for Superseded {}
