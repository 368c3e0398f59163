//! The file: its lock, and what is written at its beginning.

use std::fs::{File, OpenOptions};
use std::hash::BuildHasher;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use tidegate_core::bucket::{Set, TableHeader, Unit};
use tidegate_core::{OnFull, SeededState};

use super::error::{Difference, SharedError};
use super::mapping::Mapping;

/// Where the table's header is, in bytes.
pub(super) const HEADER_AT: usize = 1_024;
/// Where the sets are, in bytes.
pub(super) const SETS_AT: usize = 4_096;

/// "tidegate" in ASCII. Written last.
const MAGIC: u64 = u64::from_be_bytes(*b"tidegate");
/// In the place of the magic while the file is being prepared. Written first, so that nothing but a file
/// of ours, or an empty one, is ever taken for one that is to be prepared.
const PREPARING: u64 = u64::from_be_bytes(*b"prepares");
/// Of the layout of the file, of the sets and of the words in them.
const VERSION: u64 = 1;
/// Words at the beginning of the file: the magic, the seed, the hash of a known key, the terms.
const WORDS: usize = 3 + TERMS;
const TERMS: usize = 8;

/// What becomes of a file that holds another table: one of another boot, version, unit, size,
/// policy or grace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WhenOther {
    /// It is emptied, unless another process has it open.
    #[default]
    StartEmpty,
    /// It is left as it is, and the opening fails.
    Refuse,
}

/// What all processes that share a file must agree in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    words: [u64; TERMS],
    sets: usize,
}

/// A file that is ready, with its lock held shared.
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) seed: u64,
    pub(super) is_new: bool,
    pub(super) mended: usize,
}

/// What the beginning of a file says.
enum Found {
    /// Nothing: it is new, or its preparation was broken off.
    Nothing,
    /// It is a table of these terms, and has this seed.
    Ours(u64),
    Other(Difference),
}

/// Returns the length of a file with `sets` sets, in bytes.
pub(super) const fn length(sets: usize) -> usize {
    SETS_AT + sets * size_of::<Set>()
}

impl Terms {
    pub(super) fn new(
        unit: Unit,
        sets: usize,
        on_full: OnFull,
        grace: Duration,
    ) -> Result<Self, SharedError> {
        let boot = boot().map_err(SharedError::Io)?;
        let policy = match on_full {
            OnFull::Deny => 0,
            OnFull::Admit => 1,
            OnFull::Shared => 2,
        };
        let layout = (size_of::<usize>() as u64) << 32 | size_of::<TableHeader>() as u64;
        let grace = u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX);
        if sets.checked_mul(size_of::<Set>()).is_none_or(|bytes| bytes >= isize::MAX as usize / 2) {
            return Err(SharedError::Io(io::ErrorKind::OutOfMemory.into()));
        }
        let words = [
            VERSION,
            layout,
            (boot >> 64) as u64,
            boot as u64,
            unit.factor(),
            sets as u64,
            policy,
            grace,
        ];
        Ok(Self { words, sets })
    }

    /// In what the words of a file differ.
    fn difference(&self, words: &[u64]) -> Option<Difference> {
        let at = self.words.iter().zip(words).position(|(ours, found)| ours != found)?;
        Some(match at {
            0 | 1 => Difference::Version,
            2 | 3 => Difference::Boot,
            4 => Difference::Unit,
            5 => Difference::Size,
            6 => Difference::OnFull,
            _ => Difference::Grace,
        })
    }

    fn find(&self, file: &File) -> io::Result<Found> {
        let mut bytes = [0; 8 * WORDS];
        let len = file.metadata()?.len();
        if len == 0 {
            return Ok(Found::Nothing);
        }
        // Of a file that is being prepared there may be no more than the first word.
        let there = bytes.len().min(usize::try_from(len).unwrap_or(usize::MAX));
        file.read_exact_at(&mut bytes[..there], 0)?;
        let (words, _) = bytes.as_chunks();
        let words: [u64; WORDS] = std::array::from_fn(|at| u64::from_ne_bytes(words[at]));
        Ok(match words {
            [PREPARING, ..] => Found::Nothing,
            [MAGIC, seed, hash, ref terms @ ..] => match self.difference(terms) {
                Some(difference) => Found::Other(difference),
                None if len != length(self.sets) as u64 => Found::Other(Difference::Size),
                None if hash != probe(seed) => Found::Other(Difference::Version),
                None => Found::Ours(seed),
            },
            _ => Found::Other(Difference::Magic),
        })
    }

    /// Makes the file an empty table. The magic comes last: a file without it is prepared again.
    fn prepare(&self, file: &File, seed: u64) -> io::Result<()> {
        // Zeros, all of it, whatever was there.
        file.set_len(0)?;
        file.write_all_at(&PREPARING.to_ne_bytes(), 0)?;
        if let Err(error) = make_room(file, length(self.sets)) {
            // What room there was is given back.
            file.set_len(0)?;
            return Err(error);
        }
        let words = [seed, probe(seed)].into_iter().chain(self.words);
        for (at, word) in (1..).zip(words) {
            file.write_all_at(&word.to_ne_bytes(), 8 * at)?;
        }
        file.write_all_at(&MAGIC.to_ne_bytes(), 0)
    }
}

/// Gives the whole file room on its device: a page that finds none ends the process.
fn make_room(file: &File, length: usize) -> io::Result<()> {
    loop {
        // SAFETY: the descriptor is open.
        match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, length as libc::off_t) } {
            0 => return Ok(()),
            libc::EINTR => {}
            error => return Err(io::Error::from_raw_os_error(error)),
        }
    }
}

/// Returns the hash of a known key under the seed of a file. Programs whose hashes differ, because they were
/// built with other versions of a library, must not share a table.
fn probe(seed: u64) -> u64 {
    SeededState::new(seed).hash_one(&b"203.0.113.7"[..])
}

/// Refuses a file that others than its owner may write to, or whose owner is neither this process's user
/// nor root: it could be truncated at any time, and its answers could be anything.
fn is_trusted(file: &File) -> io::Result<()> {
    let metadata = file.metadata()?;
    // SAFETY: always succeeds.
    let user = unsafe { libc::geteuid() };
    let is_ours = metadata.uid() == user || metadata.uid() == 0;
    if metadata.is_file() && is_ours && metadata.mode() & 0o022 == 0 {
        return Ok(());
    }
    let why = "not a file of this user or of root that nobody else may write to";
    Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
}

/// Opens the file, and prepares it if need be.
pub(super) fn open(
    path: &Path,
    terms: &Terms,
    seed: impl Fn() -> u64,
    when_other: WhenOther,
) -> Result<Opened, SharedError> {
    let io = SharedError::Io;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(path)
        .map_err(io)?;
    is_trusted(&file).map_err(io)?;
    let (mut is_new, mut mended) = (false, 0);
    loop {
        if lock(&file, libc::LOCK_EX | libc::LOCK_NB).map_err(io)? {
            (is_new, mended) = settle(&file, terms, &seed, when_other)?;
        }
        // The exclusive lock, too, becomes a shared one here. Another process may come in between
        // and find this one's file: hence the look that follows, under the lock that is kept.
        lock(&file, libc::LOCK_SH).map_err(io)?;
        match terms.find(&file).map_err(io)? {
            Found::Ours(seed) => return Ok(Opened { file, seed, is_new, mended }),
            Found::Other(difference) => return Err(SharedError::Differs(difference)),
            // The process that prepared it was killed.
            Found::Nothing => {
                lock(&file, libc::LOCK_UN).map_err(io)?;
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

/// Makes the file ready, while no other process has it open. Returns whether it is new, and how
/// many slots were given back.
fn settle(
    file: &File,
    terms: &Terms,
    seed: &impl Fn() -> u64,
    when_other: WhenOther,
) -> Result<(bool, usize), SharedError> {
    match terms.find(file).map_err(SharedError::Io)? {
        Found::Ours(_) => {
            let mut mapping = Mapping::new(file, terms.sets).map_err(SharedError::Io)?;
            // SAFETY: a process that has the table open holds the lock, which is ours alone.
            let mended = unsafe { mapping.mend() };
            return Ok((false, mended));
        }
        Found::Other(difference)
            if difference == Difference::Magic || when_other == WhenOther::Refuse =>
        {
            return Err(SharedError::Differs(difference));
        }
        Found::Other(_) | Found::Nothing => {}
    }
    terms.prepare(file, seed()).map_err(SharedError::Io)?;
    Ok((true, 0))
}

/// Changes the lock that this opening of the file holds. `false` if another one is in the way, and
/// the call was not to wait.
fn lock(file: &File, operation: libc::c_int) -> io::Result<bool> {
    loop {
        // SAFETY: the descriptor is open.
        if unsafe { libc::flock(file.as_raw_fd(), operation) } == 0 {
            return Ok(true);
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::WouldBlock => return Ok(false),
            io::ErrorKind::Interrupted => {}
            _ => return Err(error),
        }
    }
}

/// Returns the number that the kernel gave this boot of the machine.
fn boot() -> io::Result<u128> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let digits: String = id.trim().chars().filter(|&char| char != '-').collect();
    u128::from_str_radix(&digits, 16)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the boot's number is not one"))
}
