//! Where frames come from.

pub mod capture;
#[cfg(target_os = "linux")]
pub mod live;
pub mod synthetic;

/// Frames, in bursts.
pub trait Source {
    /// Passes the next frames to `take`, at most [`BURST`](crate::BURST), each with its bits on the
    /// wire. Returns how many there were: none if none has come yet, and `None` if none will come.
    fn burst(&mut self, take: impl FnMut(&[u8], u64)) -> Option<usize>;
}
