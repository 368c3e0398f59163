//! Which logs to read.

use std::collections::HashSet;
use std::io::{self, Cursor, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use glob::MatchOptions;

use super::identity::Identity;
use crate::failure::Failure;

/// A log, by its place.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    File(PathBuf),
    Stdin,
    /// A log that is not kept in a file, with its name.
    Memory(&'static str, Arc<[u8]>),
}

impl Source {
    /// Returns the name by which the log is shown.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Stdin => "standard input".to_owned(),
            Self::Memory(name, _) => (*name).to_owned(),
        }
    }

    /// Opens the log. Returns its bytes, and its identity if it is a file.
    pub(super) fn open(&self) -> io::Result<(Box<dyn Read + Send>, Option<Identity>)> {
        match self {
            Self::File(path) => {
                let file = std::fs::File::open(path)?;
                let identity = Identity::of_file(&file, path)?;
                Ok((Box::new(file), Some(identity)))
            }
            Self::Stdin => Ok((Box::new(io::stdin()), None)),
            Self::Memory(_, bytes) => Ok((Box::new(Cursor::new(Arc::clone(bytes))), None)),
        }
    }

    /// Returns the length of a regular file, which tells how much there is to read.
    pub(crate) fn length(&self) -> Option<u64> {
        match self {
            Self::File(path) => {
                let metadata = std::fs::metadata(path).ok()?;
                metadata.is_file().then_some(metadata.len())
            }
            Self::Stdin | Self::Memory(..) => None,
        }
    }

    fn identity(&self) -> Option<Identity> {
        match self {
            Self::File(path) => Identity::of_path(path).ok(),
            Self::Stdin => Identity::of_stdin(),
            Self::Memory(..) => None,
        }
    }
}

/// The logs to read, each once, in the order in which they were named.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    pub(crate) sources: Vec<Source>,
    identities: HashSet<Identity>,
    /// What is to be said of how they were named, a line each.
    pub(crate) warnings: Vec<String>,
}

impl Sources {
    /// Finds the logs that `arguments` name: paths, patterns such as `access.log*`, and `-` for
    /// standard input. A file that is named twice is read once, and a warning says so.
    ///
    /// # Errors
    ///
    /// Fails for a file that is missing, for a folder, and for a pattern that matches no file.
    pub(crate) fn find(arguments: &[PathBuf]) -> Result<Self, Failure> {
        let mut found = Self::default();
        for argument in arguments {
            if argument == Path::new("-") {
                found.add(Source::Stdin);
                continue;
            }
            let name = argument.display();
            match std::fs::metadata(argument) {
                Ok(metadata) if metadata.is_dir() => {
                    let reason = format!("is a folder; name the logs in it: '{name}/*.log'");
                    return Err(Failure::new(name, reason));
                }
                Ok(_) => found.add(Source::File(argument.clone())),
                Err(error) => match pattern(argument) {
                    Some(text) if error.kind() == ErrorKind::NotFound => found.expand(text)?,
                    _ => return Err(Failure::new(name, error)),
                },
            }
        }
        Ok(found)
    }

    /// Returns one log that is not kept in a file.
    pub(crate) fn memory(name: &'static str, bytes: impl Into<Arc<[u8]>>) -> Self {
        Self { sources: vec![Source::Memory(name, bytes.into())], ..Self::default() }
    }

    /// Returns whether one of the logs is this file.
    pub(crate) fn contain(&self, identity: &Identity) -> bool {
        self.identities.contains(identity)
    }

    /// Adds the files that a pattern matches. Folders that it matches are left out.
    fn expand(&mut self, pattern: &str) -> Result<(), Failure> {
        let options = MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: true,
        };
        let paths = glob::glob_with(pattern, options)
            .map_err(|error| Failure::new(pattern, format_args!("no valid pattern: {error}")))?;
        let mut matched = false;
        for path in paths {
            let path = path.map_err(|error| {
                Failure::new(pattern, format_args!("{}: {}", error.path().display(), error.error()))
            })?;
            if !path.is_dir() {
                matched = true;
                self.add(Source::File(path));
            }
        }
        if matched { Ok(()) } else { Err(Failure::new(pattern, "matches no file")) }
    }

    /// Adds a log, unless it was named before.
    fn add(&mut self, source: Source) {
        let identity = source.identity();
        if identity.is_some_and(|identity| !self.identities.insert(identity)) {
            self.warnings.push(format!("{}: named twice, read once", source.name()));
        } else {
            self.sources.push(source);
        }
    }
}

/// Returns the argument as a pattern, if it has a character that only patterns have.
fn pattern(argument: &Path) -> Option<&str> {
    argument.to_str().filter(|text| text.contains(['*', '?', '[']))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::Sources;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["access.log", "access.log.1", "access.log.2.gz", ".hidden.log", "x[1].log"] {
            fs::write(folder.path().join(name), name).expect("a file");
        }
        fs::create_dir(folder.path().join("access.log.d")).expect("a folder");
        folder
    }

    fn find(folder: &Path, names: &[&str]) -> Result<Vec<String>, String> {
        let paths: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
        let found = Sources::find(&paths).map_err(|failure| failure.0)?;
        let start = format!("{}/", folder.display());
        let names = found.sources.iter().map(|source| source.name().replace(&start, ""));
        Ok(names.chain(found.warnings.iter().map(|text| text.replace(&start, ""))).collect())
    }

    #[test]
    fn a_pattern_is_expanded_without_folders_and_hidden_files() {
        let folder = folder();
        let expected = ["access.log", "access.log.1", "access.log.2.gz"].map(str::to_owned);
        assert_eq!(find(folder.path(), &["access*"]), Ok(expected.to_vec()));
        assert_eq!(find(folder.path(), &["*.log"]).map(|names| names.len()), Ok(2));
    }

    #[test]
    fn a_file_whose_name_looks_like_a_pattern_is_that_file() {
        assert_eq!(find(folder().path(), &["x[1].log"]), Ok(vec!["x[1].log".to_owned()]));
    }

    #[test]
    fn a_file_that_is_named_twice_is_read_once_whatever_its_names() {
        let folder = folder();
        fs::hard_link(folder.path().join("access.log"), folder.path().join("b")).expect("a link");
        let names = find(folder.path(), &["access.log", "access.log.1", "./access.log", "b"]);
        let expected = [
            "access.log",
            "access.log.1",
            "./access.log: named twice, read once",
            "b: named twice, read once",
        ];
        if cfg!(unix) {
            assert_eq!(names, Ok(expected.map(str::to_owned).to_vec()));
        }
    }

    #[test]
    fn what_is_no_log_is_refused_by_name() {
        let folder = folder();
        for (name, reason) in [
            ("access.log.d", "is a folder"),
            ("missing.log", "No such file"),
            ("missing*", "matches no file"),
            ("access.log.d*", "matches no file"),
            ("[", "no valid pattern"),
        ] {
            let text = find(folder.path(), &["access.log", name]).expect_err(name);
            assert!(text.contains(&format!("{name}: ")) && text.contains(reason), "{text}");
        }
    }
}
