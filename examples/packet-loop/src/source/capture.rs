//! Frames of a capture: a file as tcpdump writes it.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::path::Path;
use std::sync::Arc;

use pcap_file::DataLink;
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapReader, PcapWriter};

use super::Source;
use crate::BURST;

/// The frames of a file, in memory.
#[derive(Debug, Default)]
pub struct Capture {
    bytes: Vec<u8>,
    /// Where each frame ends, and its bits on the wire.
    ends: Vec<(usize, u64)>,
}

/// A capture cannot be read or written.
#[derive(Debug)]
pub struct CaptureError(String);

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CaptureError {}

fn error(path: &Path, why: impl fmt::Display) -> CaptureError {
    CaptureError(format!("{}: {why}", path.display()))
}

impl Capture {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, is no capture, is damaged, is of links other than Ethernet, or
    /// has no frame.
    pub fn read(path: &Path) -> Result<Self, CaptureError> {
        let file = File::open(path).map_err(|why| error(path, why))?;
        let mut reader = PcapReader::new(BufReader::new(file)).map_err(|why| error(path, why))?;
        let link = reader.header().datalink;
        if link != DataLink::ETHERNET {
            return Err(error(path, format_args!("its frames are of {link:?}, not of Ethernet")));
        }
        let mut capture = Self::default();
        while let Some(packet) = reader.next_packet() {
            let number = capture.ends.len() + 1;
            let packet =
                packet.map_err(|why| error(path, format_args!("frame {number}: {why}")))?;
            capture.bytes.extend_from_slice(&packet.data);
            capture.ends.push((capture.bytes.len(), 8 * u64::from(packet.orig_len)));
        }
        match capture.ends.is_empty() {
            true => Err(error(path, "it has no frame")),
            false => Ok(capture),
        }
    }

    /// Writes frames, with the time of each since the beginning, to a file.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn write<'a>(
        path: &Path,
        frames: impl Iterator<Item = (std::time::Duration, &'a [u8])>,
    ) -> Result<(), CaptureError> {
        let file = File::create(path).map_err(|why| error(path, why))?;
        let header = PcapHeader { datalink: DataLink::ETHERNET, ..PcapHeader::default() };
        let mut writer = PcapWriter::with_header(BufWriter::new(file), header)
            .map_err(|why| error(path, why))?;
        for (time, frame) in frames {
            let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
            writer
                .write_packet(&PcapPacket::new(time, length, frame))
                .map_err(|why| error(path, why))?;
        }
        io::Write::flush(&mut writer.into_writer()).map_err(|why| error(path, why))
    }

    /// Returns how many frames there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn frame(&self, index: usize) -> (&[u8], u64) {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before].0);
        let (end, bits) = self.ends[index];
        (&self.bytes[start..end], bits)
    }

    /// Plays every `of`th burst from the `first` on, so that `of` players play all bursts. The player
    /// repeats its bursts `rounds` times.
    pub fn player(self: &Arc<Self>, first: usize, of: usize, rounds: u64) -> Player {
        Player { capture: Arc::clone(self), first, of: of.max(1), next: first, rounds }
    }
}

/// Plays a capture, or one worker's share of it.
#[derive(Clone, Debug)]
pub struct Player {
    capture: Arc<Capture>,
    first: usize,
    of: usize,
    /// The number of the next burst.
    next: usize,
    rounds: u64,
}

impl Source for Player {
    fn burst(&mut self, mut take: impl FnMut(&[u8], u64)) -> Option<usize> {
        if self.rounds == 0 {
            return None;
        }
        let start = self.next * BURST;
        let end = self.capture.len().min(start + BURST);
        for index in start..end {
            let (frame, bits) = self.capture.frame(index);
            take(frame, bits);
        }
        self.next += self.of;
        if self.next * BURST >= self.capture.len() {
            self.next = self.first;
            self.rounds -= 1;
        }
        Some(end.saturating_sub(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn made(frames: usize) -> (tempfile::TempDir, std::path::PathBuf, Vec<Vec<u8>>) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("made.pcap");
        let frames: Vec<Vec<u8>> = (0..frames).map(|at| vec![at as u8; 14 + at % 50]).collect();
        let timed = frames.iter().enumerate();
        let timed = timed.map(|(at, frame)| (Duration::from_micros(at as u64), frame.as_slice()));
        Capture::write(&path, timed).expect("written");
        (folder, path, frames)
    }

    #[test]
    fn players_share_a_capture_and_repeat_it() {
        let (_folder, path, frames) = made(100);
        let capture = Arc::new(Capture::read(&path).expect("read"));
        assert_eq!(capture.len(), 100);
        let mut played = Vec::new();
        for first in 0..3 {
            let mut player = capture.player(first, 3, 2);
            while player
                .burst(|frame, bits| {
                    assert_eq!(bits, 8 * frame.len() as u64);
                    played.push(frame.to_vec());
                })
                .is_some()
            {}
        }
        let mut twice = [frames.clone(), frames].concat();
        twice.sort();
        played.sort();
        assert_eq!(played, twice);
    }

    #[test]
    fn what_is_no_capture_is_one_error_that_names_the_file() {
        let (folder, path, _) = made(3);
        let whole = std::fs::read(&path).expect("read");
        let broken = folder.path().join("broken.pcap");
        for (bytes, what) in [
            (&b"no capture at all, but text"[..], "broken.pcap"),
            (&whole[..24], "no frame"),
            (&whole[..whole.len() - 1], "frame 3"),
        ] {
            std::fs::write(&broken, bytes).expect("written");
            let error = Capture::read(&broken).expect_err("refused").to_string();
            assert!(error.contains("broken.pcap") && error.contains(what), "{error}");
        }
        let missing = Capture::read(&folder.path().join("none")).expect_err("missing").to_string();
        assert!(missing.contains("none"), "{missing}");
    }
}
