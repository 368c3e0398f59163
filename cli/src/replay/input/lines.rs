//! Blocks of whole lines.

use std::io::{self, Read};

use super::retry;

/// The longest line that is looked at. Real lines stay below 16 KiB, the servers' own limit.
pub(crate) const LONGEST: usize = 64 * 1024;

/// The bytes of a block: small enough to stay in a core's cache until they are parsed.
const BLOCK: usize = 1024 * 1024;

/// Whole lines. The memory is used again for the next ones.
pub(crate) struct Block {
    buffer: Box<[u8]>,
    filled: usize,
}

impl Block {
    pub(crate) fn new() -> Self {
        Self { buffer: vec![0; BLOCK].into(), filled: 0 }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }

    /// Fills the free part of the block. Returns whether the input has ended.
    fn fill(&mut self, input: &mut impl Read) -> io::Result<bool> {
        while self.filled < BLOCK {
            match retry::read(input, &mut self.buffer[self.filled..])? {
                0 => return Ok(true),
                count => self.filled += count,
            }
        }
        Ok(false)
    }
}

/// Cuts a text into blocks of whole lines. A line that is longer than a block is cut to
/// [`LONGEST`]` + 1` bytes, so that it is still seen to be too long.
pub(crate) struct Lines<R> {
    input: R,
    /// The beginning of a line whose end was not yet read.
    rest: Vec<u8>,
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, rest: Vec::new() }
    }

    pub(crate) fn get_ref(&self) -> &R {
        &self.input
    }

    /// Puts the next lines into `block`. Returns whether there were any. NUL bytes at the head of a
    /// line that does not fit are dropped: they are a hole in the file, and a line follows it.
    ///
    /// # Errors
    ///
    /// Fails as the input does.
    pub(crate) fn next(&mut self, block: &mut Block) -> io::Result<bool> {
        block.buffer[..self.rest.len()].copy_from_slice(&self.rest);
        block.filled = self.rest.len();
        self.rest.clear();
        loop {
            if block.fill(&mut self.input)? {
                return Ok(block.filled > 0);
            }
            if let Some(end) = memchr::memrchr(b'\n', block.bytes()) {
                self.rest.extend_from_slice(&block.bytes()[end + 1..]);
                block.filled = end + 1;
                return Ok(true);
            }
            match block.bytes().iter().take_while(|&&byte| byte == 0).count() {
                0 => break,
                nuls => {
                    block.buffer.copy_within(nuls.., 0);
                    block.filled -= nuls;
                }
            }
        }
        block.filled = LONGEST + 2;
        block.buffer[LONGEST + 1] = b'\n';
        self.skip_line()?;
        Ok(true)
    }

    /// Passes over the rest of a line, whatever its length.
    fn skip_line(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; LONGEST];
        loop {
            let count = retry::read(&mut self.input, &mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            if let Some(end) = memchr::memchr(b'\n', &buffer[..count]) {
                self.rest.extend_from_slice(&buffer[end + 1..count]);
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};

    use super::{BLOCK, Block, LONGEST, Lines};

    /// Gives a few bytes at each read, and is interrupted now and then, as a pipe may be.
    struct Pipe<'a>(&'a [u8], u32);

    impl Read for Pipe<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 += 1;
            if self.1.is_multiple_of(5) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let count = buffer.len().min(self.0.len()).min(70_001);
            let (now, later) = self.0.split_at(count);
            buffer[..count].copy_from_slice(now);
            self.0 = later;
            Ok(count)
        }
    }

    fn blocks(input: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Lines::new(Pipe(input, 0));
        let (mut block, mut blocks) = (Block::new(), Vec::new());
        while lines.next(&mut block).expect("memory") {
            blocks.push(block.bytes().to_vec());
        }
        blocks
    }

    #[test]
    fn blocks_are_whole_lines_and_nothing_is_lost() {
        let mut random = fastrand::Rng::with_seed(0xb10c);
        for end in ["\n", ""] {
            let mut input = Vec::new();
            while input.len() < 3 * BLOCK {
                input.resize(input.len() + random.usize(..3000), b'x');
                input.push(b'\n');
            }
            input.extend_from_slice(b"last");
            input.extend_from_slice(end.as_bytes());
            let blocks = blocks(&input);
            assert!(blocks.len() > 3);
            let (_, whole) = blocks.split_last().expect("blocks");
            assert!(whole.iter().all(|block| block.ends_with(b"\n")));
            assert!(blocks.concat() == input);
        }
        assert!(blocks(b"").is_empty());
    }

    #[test]
    fn a_line_longer_than_a_block_is_kept_only_as_far_as_shows_its_length() {
        let mut input = b"first\n".to_vec();
        input.resize(5 * BLOCK, b'x');
        input.extend_from_slice(b"\nlast\n");
        let text = blocks(&input).concat();
        let lengths: Vec<usize> = text.split(|&byte| byte == b'\n').map(<[u8]>::len).collect();
        assert_eq!(lengths, [5, LONGEST + 1, 4, 0]);
        assert_eq!(blocks(&vec![b'x'; 5 * BLOCK]).concat().len(), LONGEST + 2);
    }

    #[test]
    fn a_line_after_a_hole_of_any_length_is_kept() {
        for hole in [BLOCK - 20, BLOCK - 3, BLOCK, BLOCK + 1, 3 * BLOCK + 9] {
            let input =
                [b"first\n", &vec![0; hole][..], b"next\n", &vec![0; hole], b"last"].concat();
            let text = blocks(&input).concat();
            let lines: Vec<_> = text
                .split(|&byte| byte == b'\n')
                .map(|line| String::from_utf8_lossy(line).replace('\0', ""))
                .collect();
            assert_eq!(lines, ["first", "next", "last"], "{hole}");
        }
    }

    #[test]
    fn a_line_that_just_fills_a_block_is_whole() {
        let input = [vec![b'x'; BLOCK - 1], b"\nlast\n".to_vec()].concat();
        assert!(blocks(&input).concat() == input);
    }
}
