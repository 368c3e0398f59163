//! What tells one file from another, whatever their names.

use std::fs::File;
use std::io;
use std::path::Path;

/// The identity of a file: hard links and symbolic links to one file are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    mark: system::Mark,
    /// Whether it is a regular file: no pipe, no device.
    pub(crate) is_regular: bool,
}

impl Identity {
    /// Returns the identity of the file that `path` leads to.
    ///
    /// # Errors
    ///
    /// Fails if there is none, or if it may not be looked at.
    pub(crate) fn of_path(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        Ok(Self { mark: system::of_path(path, &metadata)?, is_regular: metadata.is_file() })
    }

    /// Returns the identity of what standard input reads from, where the system tells.
    pub(crate) fn of_stdin() -> Option<Self> {
        let (mark, metadata) = system::of_stdin()?;
        Some(Self { mark, is_regular: metadata.is_file() })
    }

    /// Returns the identity of what standard output writes to, where the system tells.
    pub(crate) fn of_stdout() -> Option<Self> {
        let (mark, metadata) = system::of_stdout()?;
        Some(Self { mark, is_regular: metadata.is_file() })
    }

    /// Returns the identity of an open file, which was opened by `path`.
    ///
    /// # Errors
    ///
    /// Fails if the file may not be looked at.
    pub(crate) fn of_file(file: &File, path: &Path) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self { mark: system::of_path(path, &metadata)?, is_regular: metadata.is_file() })
    }
}

#[cfg(unix)]
mod system {
    use std::fs::{File, Metadata};
    use std::io;
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    /// The device and the inode.
    pub(super) type Mark = (u64, u64);

    fn of(metadata: &Metadata) -> Mark {
        (metadata.dev(), metadata.ino())
    }

    pub(super) fn of_path(_: &Path, metadata: &Metadata) -> io::Result<Mark> {
        Ok(of(metadata))
    }

    pub(super) fn of_stdin() -> Option<(Mark, Metadata)> {
        of_open(&io::stdin())
    }

    pub(super) fn of_stdout() -> Option<(Mark, Metadata)> {
        of_open(&io::stdout())
    }

    fn of_open(stream: &impl AsFd) -> Option<(Mark, Metadata)> {
        let file = File::from(stream.as_fd().try_clone_to_owned().ok()?);
        let metadata = file.metadata().ok()?;
        Some((of(&metadata), metadata))
    }
}

#[cfg(not(unix))]
mod system {
    use std::fs::Metadata;
    use std::io;
    use std::path::{Path, PathBuf};

    /// The path without links and without `..`.
    pub(super) type Mark = PathBuf;

    pub(super) fn of_path(path: &Path, _: &Metadata) -> io::Result<Mark> {
        path.canonicalize()
    }

    pub(super) fn of_stdin() -> Option<(Mark, Metadata)> {
        None
    }

    pub(super) fn of_stdout() -> Option<(Mark, Metadata)> {
        None
    }
}
