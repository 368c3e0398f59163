//! The bytes of a log as they are stored.

use std::io::{self, BufRead, Read};

use super::progress::Progress;
use super::retry;

const BUFFER: usize = 64 * 1024;

/// A buffered reader that can look ahead, and that tells the progress bar what it reads.
pub(super) struct Raw {
    inner: Box<dyn Read + Send>,
    progress: Progress,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Raw {
    pub(super) fn new(inner: Box<dyn Read + Send>, progress: Progress) -> Self {
        Self { inner, progress, buffer: vec![0; BUFFER].into(), start: 0, end: 0 }
    }

    /// Returns the next `count` bytes without taking them; fewer only at the end.
    pub(super) fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.end - self.start < count {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            let read = fill(&mut *self.inner, &self.progress, &mut self.buffer[self.end..])?;
            if read == 0 {
                break;
            }
            self.end += read;
        }
        let held = &self.buffer[self.start..self.end];
        Ok(&held[..held.len().min(count)])
    }

    /// Skips `count` bytes. Returns how many there were; fewer only at the end.
    pub(super) fn skip(&mut self, count: u64) -> io::Result<u64> {
        let mut skipped = 0;
        while skipped < count {
            let held = self.fill_buf()?.len();
            if held == 0 {
                break;
            }
            let taken = held.min(usize::try_from(count - skipped).unwrap_or(usize::MAX));
            self.consume(taken);
            skipped += taken as u64;
        }
        Ok(skipped)
    }
}

/// Reads once, and counts the bytes for the progress bar.
fn fill(inner: &mut dyn Read, progress: &Progress, buffer: &mut [u8]) -> io::Result<usize> {
    retry::read(inner, buffer).inspect(|&read| progress.add(read as u64))
}

impl Read for Raw {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        // Large reads into a block need no copy.
        if self.start == self.end && target.len() >= BUFFER {
            return fill(&mut *self.inner, &self.progress, target);
        }
        let held = self.fill_buf()?;
        let taken = held.len().min(target.len());
        target[..taken].copy_from_slice(&held[..taken]);
        self.consume(taken);
        Ok(taken)
    }
}

impl BufRead for Raw {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.peek(1)?;
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, Read};

    use super::{BUFFER, Raw};
    use crate::replay::input::Progress;

    /// Gives a byte at each read, as a slow pipe may.
    struct Slow(std::vec::IntoIter<u8>);

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            Ok(buffer.first_mut().zip(self.0.next()).map(|(to, from)| *to = from).is_some().into())
        }
    }

    #[test]
    fn looking_ahead_takes_nothing_and_sees_across_reads() {
        let mut raw = Raw::new(Box::new(Slow(vec![1, 2, 3, 4, 5].into_iter())), Progress::none());
        assert_eq!(raw.peek(3).expect("memory"), [1, 2, 3]);
        raw.consume(2);
        assert_eq!(raw.peek(2).expect("memory"), [3, 4]);
        assert_eq!(raw.peek(9).expect("memory"), [3, 4, 5]);
        assert_eq!(raw.skip(2).expect("memory"), 2);
        assert_eq!(raw.skip(2).expect("memory"), 1);
    }

    #[test]
    fn nothing_is_lost_between_large_and_small_reads() {
        let bytes: Vec<u8> = (0..4 * BUFFER + 5).map(|place| (place % 251) as u8).collect();
        let mut raw = Raw::new(Box::new(std::io::Cursor::new(bytes.clone())), Progress::none());
        let mut read = Vec::new();
        for length in [10, 2 * BUFFER, BUFFER, 1, BUFFER, BUFFER].iter().cycle() {
            let start = read.len();
            read.resize(start + length, 0);
            let count = raw.read(&mut read[start..]).expect("memory");
            read.truncate(start + count);
            if count == 0 {
                break;
            }
        }
        assert_eq!(read, bytes);
    }
}
