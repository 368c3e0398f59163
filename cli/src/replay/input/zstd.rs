//! Zstandard: frames one behind the other, frames to be skipped, and what follows the last.

use std::error::Error;
use std::io::{self, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::parts::{Next, next};
use super::raw::Raw;

/// Returns whether a frame begins like this; one to be skipped counts.
pub(super) fn begins(start: &[u8]) -> bool {
    match start {
        [0x28, 0xb5, 0x2f, 0xfd, ..] => true,
        [first, 0x2a, 0x4d, 0x18, ..] => first & 0xf0 == 0x50,
        _ => false,
    }
}

/// Unpacks all frames. A damaged one is an error: how much of the log it hides is not known. A
/// frame may ask for a window of at most 128 MiB, as `zstd -d` has it.
pub(super) struct Zstd {
    raw: Raw,
    decoder: FrameDecoder,
    state: State,
    pub(super) ends_in_garbage: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Between,
    Inside,
    Ended,
}

impl Zstd {
    /// Begins with a frame, which `raw` begins with.
    pub(super) fn new(raw: Raw) -> Self {
        let decoder = FrameDecoder::new();
        Self { raw, decoder, state: State::Between, ends_in_garbage: false }
    }

    fn begin_frame(&mut self) -> io::Result<State> {
        match next(&mut self.raw, begins)? {
            Next::Part => {}
            Next::End => return Ok(State::Ended),
            Next::Garbage => {
                self.ends_in_garbage = true;
                return Ok(State::Ended);
            }
        }
        match self.decoder.reset(&mut self.raw) {
            Ok(()) => Ok(State::Inside),
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                if self.raw.skip(length.into())? < length.into() {
                    return Err(broken("cut off"));
                }
                Ok(State::Between)
            }
            Err(error) => Err(damaged(&error)),
        }
    }

    /// Unpacks until `target` can be filled or the frame ends. Returns 0 at its end.
    fn read_frame(&mut self, target: &mut [u8]) -> io::Result<usize> {
        while !self.decoder.is_finished() && self.decoder.can_collect() < target.len() {
            let wanted = target.len() - self.decoder.can_collect();
            self.decoder
                .decode_blocks(&mut self.raw, BlockDecodingStrategy::UptoBytes(wanted))
                .map_err(|error| damaged(&error))?;
        }
        let read = self.decoder.read(target)?;
        if read == 0
            && let Some(stored) = self.decoder.get_checksum_from_data()
            && Some(stored) != self.decoder.get_calculated_checksum()
        {
            return Err(broken("wrong checksum"));
        }
        Ok(read)
    }
}

impl Read for Zstd {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if target.is_empty() {
            return Ok(0);
        }
        loop {
            match self.state {
                State::Between => self.state = self.begin_frame()?,
                State::Inside => match self.read_frame(target)? {
                    0 => self.state = State::Between,
                    read => return Ok(read),
                },
                State::Ended => return Ok(0),
            }
        }
    }
}

/// Returns what is wrong with a frame. Of a frame that ends early it names no part of the decoder.
fn damaged(error: &FrameDecoderError) -> io::Error {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let of_reading = error.downcast_ref::<io::Error>();
        if of_reading.is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof) {
            return broken("cut off");
        }
        cause = error.source();
    }
    broken(error)
}

fn broken(reason: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("broken zstd: {reason}"))
}

#[cfg(test)]
mod tests {
    use crate::replay::fuzz::fuzz_time;
    use std::io::{Cursor, Read};

    use super::Zstd;
    use crate::replay::input::Progress;
    use crate::replay::input::raw::Raw;
    use crate::replay::input::testing::zstd as pack;

    /// Returns the content, and whether garbage follows it.
    fn unpack(packed: Vec<u8>) -> Result<(Vec<u8>, bool), String> {
        let mut zstd = Zstd::new(Raw::new(Box::new(Cursor::new(packed)), Progress::none()));
        let mut content = Vec::new();
        match zstd.read_to_end(&mut content) {
            Ok(_) => Ok((content, zstd.ends_in_garbage)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Returns a log that packs well, but not to nothing.
    fn log() -> Vec<u8> {
        (0..40_000).flat_map(|number| format!("line {}\n", number * number).into_bytes()).collect()
    }

    #[test]
    fn frames_are_read_one_behind_the_other_and_skippable_ones_skipped() {
        let skipped = [&b"\x53\x2a\x4d\x18\x05\0\0\0"[..], b"12345"].concat();
        let packed = [skipped.clone(), pack(&log()), skipped, pack(b"end\n"), vec![0; 9]].concat();
        assert_eq!(unpack(packed), Ok(([&log()[..], b"end\n"].concat(), false)));
    }

    #[test]
    fn garbage_after_the_last_frame_is_said() {
        assert_eq!(unpack([pack(b"a\n"), b"xyz".to_vec()].concat()), Ok((b"a\n".to_vec(), true)));
    }

    #[test]
    fn a_damaged_frame_is_an_error() {
        let packed = pack(&log());
        for length in [4, 6, 9, packed.len() / 2, packed.len() - 5, packed.len() - 1] {
            let reason = unpack(packed[..length].to_vec());
            assert_eq!(reason, Err("broken zstd: cut off".to_owned()), "{length}");
        }
        let skipped = b"\x53\x2a\x4d\x18\x05\0\0\0abc".to_vec();
        assert_eq!(unpack(skipped), Err("broken zstd: cut off".to_owned()));
    }

    #[test]
    fn a_wrong_checksum_is_an_error() {
        // A frame of one raw block `abc` with the checksum of something else.
        let frame = b"\x28\xb5\x2f\xfd\x04\x00\x19\x00\x00abc\x01\x02\x03\x04".to_vec();
        assert_eq!(unpack(frame), Err("broken zstd: wrong checksum".to_owned()));
    }

    #[test]
    fn a_huge_window_is_refused_in_the_first_frame() {
        // 3.75 TiB, and a last raw block of nothing.
        let reason =
            unpack(b"\x28\xb5\x2f\xfd\x00\xff\x01\x00\x00".to_vec()).expect_err("a window");
        assert!(reason.starts_with("broken zstd: "), "{reason}");
    }

    #[test]
    fn random_damage_neither_panics_nor_loops() {
        let packed = pack(&log()[..60_000]);
        let mut random = fastrand::Rng::with_seed(0xda3a6e);
        let start = std::time::Instant::now();
        while start.elapsed() < fuzz_time() {
            let mut damaged = packed.clone();
            for _ in 0..random.usize(1..6) {
                let place = random.usize(4..damaged.len());
                damaged[place] = random.u8(..);
            }
            if let Ok((content, _)) = unpack(damaged) {
                assert!(content.len() < 1 << 20);
            }
        }
    }
}
