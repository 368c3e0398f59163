//! Files that are written at the end, and checked before anything is read.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::input::{Identity, Sources};
use crate::failure::Failure;

/// A place to write to, which was found to be writable.
#[derive(Debug)]
pub(crate) struct Output {
    /// The argument that names it: `--svg`.
    argument: &'static str,
    path: PathBuf,
    /// The identity of the file, if there is one.
    identity: Option<Identity>,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Stdout,
    /// A pipe or a device.
    Stream(File),
    /// A file beside it takes its place, so that it is written whole or not at all.
    Replace {
        target: PathBuf,
        permissions: Option<Permissions>,
    },
    /// Its folder takes no other file.
    Overwrite,
}

impl Output {
    /// Finds out whether `path` can be written to; `-` is standard output. What there is at `path`
    /// stays as it is until [`write`](Self::write).
    ///
    /// # Errors
    ///
    /// Fails for a folder, for a path whose folder is missing, and where writing is not allowed.
    pub(crate) fn open(argument: &'static str, path: &Path) -> Result<Self, Failure> {
        let fail = |error: io::Error| failure(argument, path, explain(&error));
        let (identity, way) = if path == Path::new("-") {
            (Identity::of_stdout(), Way::Stdout)
        } else {
            match Identity::of_path(path) {
                Ok(identity) => (Some(identity), existing(path).map_err(fail)?),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    let target = new_target(path).map_err(fail)?;
                    beside(&target).map_err(fail)?;
                    (None, Way::Replace { target, permissions: None })
                }
                Err(error) => return Err(fail(error)),
            }
        };
        Ok(Self { argument, path: path.to_owned(), identity, way })
    }

    /// Writes the whole of `content`.
    ///
    /// # Errors
    ///
    /// Fails as writing does, but for a closed pipe at standard output: its reader has seen enough.
    pub(crate) fn write(&mut self, content: &[u8]) -> Result<(), Failure> {
        let written = match &mut self.way {
            Way::Stdout => {
                let mut stdout = io::stdout().lock();
                match stdout.write_all(content).and_then(|()| stdout.flush()) {
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
                    written => written,
                }
            }
            Way::Stream(stream) => stream.write_all(content),
            Way::Replace { target, permissions } => replace(target, permissions.take(), content),
            Way::Overwrite => fs::write(&self.path, content),
        };
        written.map_err(|error| failure(self.argument, &self.path, error))
    }
}

/// Returns an error that names an output by its argument and its path.
fn failure(argument: &str, path: &Path, reason: impl std::fmt::Display) -> Failure {
    Failure::new(format_args!("{argument} {}", path.display()), reason)
}

/// Refuses outputs that are one of the logs, and two outputs that are one file, whatever their
/// names.
///
/// # Errors
///
/// Fails with the argument and the path of such an output.
pub(crate) fn refuse_to_overwrite<'a>(
    outputs: impl IntoIterator<Item = &'a Output>,
    inputs: &Sources,
) -> Result<(), Failure> {
    let outputs: Vec<&Output> = outputs.into_iter().collect();
    for (place, output) in outputs.iter().enumerate() {
        let fail = |reason: &str| Err(failure(output.argument, &output.path, reason));
        let file = output.identity.as_ref().filter(|identity| identity.is_regular);
        if file.is_some_and(|file| inputs.contain(file)) {
            return fail("is one of the logs that are read");
        }
        let is_same = |other: &&&Output| match (&output.way, &other.way) {
            (Way::Stdout, Way::Stdout) => true,
            (Way::Replace { target: one, .. }, Way::Replace { target: other, .. })
                if one == other =>
            {
                true
            }
            _ => file.is_some() && file == other.identity.as_ref(),
        };
        if let Some(other) = outputs[..place].iter().find(is_same) {
            return fail(&format!("is written by {}, too", other.argument));
        }
    }
    Ok(())
}

/// Finds out how to write to what `path` leads to.
fn existing(path: &Path) -> io::Result<Way> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    let file = OpenOptions::new().write(true).open(path)?;
    if !metadata.is_file() {
        return Ok(Way::Stream(file));
    }
    // What a symbolic link leads to is replaced, not the link.
    let target = path.canonicalize()?;
    Ok(match beside(&target) {
        Ok(_) => Way::Replace { target, permissions: Some(metadata.permissions()) },
        Err(_) => Way::Overwrite,
    })
}

/// The most symbolic links that are followed. Linux follows as many.
const MOST_LINKS: usize = 40;

/// Returns where to make a file that does not exist: where links lead, in a folder without links.
/// Links stay, and two names of one new file have one target.
fn new_target(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(leads_to) = fs::read_link(&path) else { break };
        path = folder(&path).join(leads_to);
    }
    let name = path.file_name().ok_or(ErrorKind::NotFound)?;
    Ok(folder(&path).canonicalize()?.join(name))
}

/// Returns the folder that a file of this path is in.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Makes a file in the folder of `path`. It is gone when it is dropped.
fn beside(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // A new file has these permissions, less those that the process's mask takes away.
        builder.permissions(Permissions::from_mode(0o666));
    }
    builder.prefix(".tidegate-").tempfile_in(folder(path))
}

/// Puts a file with `content` in the place of `target`, in one step.
fn replace(target: &Path, permissions: Option<Permissions>, content: &[u8]) -> io::Result<()> {
    let mut file = beside(target)?;
    file.write_all(content)?;
    if let Some(permissions) = permissions {
        file.as_file().set_permissions(permissions)?;
    }
    file.persist(target).map_err(|error| error.error)?;
    Ok(())
}

/// Returns what is wrong with a path, in words that name the mistake if it was mistyped.
fn explain(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such folder to write to".to_owned(),
        ErrorKind::IsADirectory => "is a folder".to_owned(),
        // tempfile adds the path of a file that the reader does not know.
        kind => error.raw_os_error().map_or_else(
            || kind.to_string(),
            |code| io::Error::from_raw_os_error(code).to_string(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::{Output, refuse_to_overwrite};
    use crate::replay::input::Sources;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("a.log"), "log").expect("a file");
        folder
    }

    /// Returns the names of what is in a folder.
    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
        let mut names: Vec<String> =
            entries.map(|entry| name(entry).into_string().expect("text")).collect();
        names.sort();
        names
    }

    fn open(path: PathBuf) -> Result<Output, String> {
        Output::open("--svg", &path).map_err(|failure| failure.0)
    }

    #[test]
    fn nothing_changes_before_it_is_written_and_nothing_else_is_left() {
        let folder = folder();
        let old = folder.path().join("old.svg");
        fs::write(&old, "a much longer text").expect("a file");
        let mut new = open(folder.path().join("new.svg")).expect("writable");
        let mut replaced = open(old.clone()).expect("writable");
        assert_eq!(names(folder.path()), ["a.log", "old.svg"]);
        assert_eq!(fs::read(&old).expect("a file"), b"a much longer text");
        new.write(b"new").expect("written");
        replaced.write(b"new").expect("written");
        assert_eq!(names(folder.path()), ["a.log", "new.svg", "old.svg"]);
        assert_eq!(fs::read(&old).expect("a file"), b"new");
        assert_eq!(fs::read(folder.path().join("new.svg")).expect("a file"), b"new");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_and_the_permissions_stay() {
        use std::os::unix::fs::PermissionsExt;
        let folder = folder();
        let (file, link) = (folder.path().join("real.svg"), folder.path().join("link.svg"));
        fs::write(&file, "old").expect("a file");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o604)).expect("permissions");
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        open(link.clone()).expect("writable").write(b"new").expect("written");
        assert!(fs::symlink_metadata(&link).expect("a link").is_symlink());
        assert_eq!(fs::read(&file).expect("a file"), b"new");
        assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o604);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_new_file_stays_and_is_another_name_of_it() {
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        std::os::unix::fs::symlink("new.svg", at("link.svg")).expect("a link");
        std::os::unix::fs::symlink(".", at("same")).expect("a link");
        let sources = Sources::memory("nothing", *b"");
        for name in ["link.svg", "same/new.svg", "./new.svg", "same/same/link.svg"] {
            let outputs = [
                Output::open("--output", &at("new.svg")).expect("writable"),
                Output::open("--svg", &at(name)).expect("writable"),
            ];
            let text = refuse_to_overwrite(&outputs, &sources).expect_err("one file").0;
            assert!(text.ends_with(&format!("{name}: is written by --output, too")), "{text}");
        }
        open(at("link.svg")).expect("writable").write(b"new").expect("written");
        assert!(fs::symlink_metadata(at("link.svg")).expect("a link").is_symlink());
        assert_eq!(fs::read(at("new.svg")).expect("a file"), b"new");
        std::os::unix::fs::symlink("missing/x", at("astray")).expect("a link");
        std::os::unix::fs::symlink("round", at("round")).expect("a link");
        for (name, reason) in [("astray", "there is no such folder"), ("round", "Too many levels")]
        {
            let text = open(at(name)).expect_err("refused");
            assert!(text.contains(reason), "{text}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn devices_are_written_to() {
        open("/dev/null".into()).expect("writable").write(b"new").expect("written");
        assert!(!fs::metadata("/dev/null").expect("a device").is_file());
    }

    #[test]
    fn a_bad_path_is_refused_by_argument_and_path() {
        let folder = folder();
        for (name, reason) in [
            ("missing/a.svg", "there is no such folder"),
            ("", "is a folder"),
            ("a.log/a.svg", "Not a directory"),
        ] {
            let path = folder.path().join(name);
            let text = open(path.clone()).expect_err("refused");
            assert!(text.starts_with(&format!("--svg {}: {reason}", path.display())), "{text}");
        }
    }

    #[test]
    fn a_log_is_never_an_output_whatever_the_names() {
        let folder = folder();
        let log = folder.path().join("a.log");
        let sources = Sources::find(std::slice::from_ref(&log)).expect("a log");
        let mut paths = vec![log.clone(), folder.path().join("./a.log")];
        if cfg!(unix) {
            fs::hard_link(&log, folder.path().join("hard")).expect("a link");
            paths.push(folder.path().join("hard"));
        }
        for path in paths {
            let output = open(path.clone()).expect("writable");
            let text = refuse_to_overwrite(&[output], &sources).expect_err("the log").0;
            let expected = format!("--svg {}: is one of the logs that are read", path.display());
            assert_eq!(text, expected);
        }
        assert_eq!(fs::read(&log).expect("a file"), b"log");
        let other = open(folder.path().join("b.svg")).expect("writable");
        assert_eq!(refuse_to_overwrite(&[other], &sources), Ok(()));
    }

    #[test]
    fn two_outputs_are_two_files() {
        let folder = folder();
        let sources = Sources::memory("nothing", *b"");
        let open = |argument, name: &str| {
            Output::open(argument, &folder.path().join(name)).expect("writable")
        };
        let outputs = [open("--svg", "x"), open("--html", "y")];
        assert_eq!(refuse_to_overwrite(&outputs, &sources), Ok(()));
        let outputs = [open("--svg", "x"), open("--html", "x")];
        let text = refuse_to_overwrite(&outputs, &sources).expect_err("one file").0;
        assert!(
            text.starts_with("--html ") && text.ends_with("is written by --svg, too"),
            "{text}"
        );
        // Devices take everything.
        if cfg!(unix) {
            let null = |argument| Output::open(argument, Path::new("/dev/null")).expect("writable");
            let text = refuse_to_overwrite(&[null("--svg"), null("--html")], &sources);
            assert_eq!(text, Ok(()));
        }
    }
}
