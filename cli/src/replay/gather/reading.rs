//! The logs one after the other, block by block.

use std::collections::VecDeque;
use std::sync::Arc;

use super::segments::{self, Segment};
use crate::failure::Failure;
use crate::replay::entry::Wanted;
use crate::replay::format::Format;
use crate::replay::input::{Block, Identity, Lines, Progress, Source, Sources, Text};
use crate::replay::stamp::Stamps;
use crate::replay::traffic::FileRead;

/// Finds out the format of a log from its first lines.
pub(super) type Detect<'a> = dyn Fn(&[u8]) -> Arc<dyn Format> + 'a;

/// Which block was read.
pub(super) struct Place {
    /// The number of the block, counted over all logs.
    pub(super) number: u64,
    /// The place of its log among the logs.
    pub(super) file: usize,
    pub(super) segments: Vec<Segment>,
}

/// The logs in the order of their first times, of which one is open.
pub(super) struct Reading {
    waiting: VecDeque<Log>,
    open: Option<Open>,
    /// The number of the next block.
    number: u64,
    progress: Progress,
    warnings: Vec<String>,
}

/// A log that was looked at.
struct Log {
    file: usize,
    source: Source,
    format: Arc<dyn Format>,
    start: Start,
}

/// How to read a log from its beginning.
enum Start {
    /// A regular file is opened again, so that any number of logs needs few descriptors.
    Again(Identity),
    /// What cannot be opened again stays open.
    Kept(Box<Text>),
}

struct Open {
    file: usize,
    lines: Lines<Text>,
    format: Arc<dyn Format>,
}

impl Reading {
    /// Looks at the beginning of every log. Returns the logs in their order, too, with no line
    /// counted yet.
    ///
    /// # Errors
    ///
    /// Fails if a log cannot be read.
    pub(super) fn new(
        sources: &Sources,
        detect: &Detect<'_>,
    ) -> Result<(Self, Vec<FileRead>), Failure> {
        let progress = Progress::new(sources.sources.iter().map(Source::length).sum());
        let mut logs = Vec::new();
        for source in &sources.sources {
            // A log that is opened again is counted then.
            let is_counted = source.length().is_none();
            let counted = if is_counted { progress.clone() } else { Progress::none() };
            let text = Text::open(source, counted)?;
            let head = text.head();
            let format = (!head.is_empty()).then(|| detect(head));
            let first = format.as_ref().and_then(|format| first_time(head, format));
            let start = match text.regular() {
                Some(identity) => Start::Again(identity.clone()),
                None => Start::Kept(Box::new(text)),
            };
            logs.push((first, source.clone(), format, start));
        }
        // Logs without a time are last.
        logs.sort_by_key(|(first, ..)| first.map_or((1, 0), |first| (0, first)));
        let (mut files, mut waiting) = (Vec::new(), VecDeque::new());
        for (_, source, format, start) in logs {
            let file = files.len();
            files.push(FileRead {
                name: source.name(),
                format: format.as_ref().map(|format| format.name()).unwrap_or_default(),
                lines: 0,
                matched: 0,
                skipped: 0,
            });
            if let Some(format) = format {
                waiting.push_back(Log { file, source, format, start });
            }
        }
        let reading = Self { waiting, open: None, number: 0, progress, warnings: Vec::new() };
        Ok((reading, files))
    }

    /// Reads the next lines into `block`. Returns `None` after the last ones.
    ///
    /// # Errors
    ///
    /// Fails if a log cannot be read, or was replaced by another since it was looked at.
    pub(super) fn next(&mut self, block: &mut Block) -> Result<Option<Place>, Failure> {
        loop {
            let open = match &mut self.open {
                Some(open) => open,
                None => {
                    let Some(log) = self.waiting.pop_front() else { return Ok(None) };
                    let open = self.begin(log)?;
                    self.open.insert(open)
                }
            };
            let read = open.lines.next(block);
            if read.map_err(|error| open.lines.get_ref().failure(&error))? {
                let number = self.number;
                self.number += 1;
                let segments = segments::split(block.bytes(), &mut open.format);
                return Ok(Some(Place { number, file: open.file, segments }));
            }
            self.warnings.extend(open.lines.get_ref().warning());
            self.open = None;
        }
    }

    /// Opens a log at its beginning.
    fn begin(&self, log: Log) -> Result<Open, Failure> {
        let text = match log.start {
            Start::Kept(text) => *text,
            Start::Again(identity) => {
                let text = Text::open(&log.source, self.progress.clone())?;
                if text.regular() != Some(&identity) {
                    let reason = "was replaced by another file while the logs were read";
                    return Err(Failure::new(log.source.name(), reason));
                }
                text
            }
        };
        Ok(Open { file: log.file, lines: Lines::new(text), format: log.format })
    }

    /// Ends the reading for all threads.
    pub(super) fn stop(&mut self) {
        self.waiting.clear();
        self.open = None;
    }

    /// Returns what is to be said of the logs, a line each.
    pub(super) fn finish(self) -> Vec<String> {
        self.warnings
    }
}

/// Returns the first time in the first lines of a log.
fn first_time(head: &[u8], format: &Arc<dyn Format>) -> Option<i64> {
    for segment in segments::split(head, &mut Arc::clone(format)) {
        let mut stamps = Stamps::default();
        for line in head[segment.lines].split(|&byte| byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if let Ok(Some(entry)) = segment.format.parse(line, Wanted::default(), &mut stamps) {
                return Some(entry.time.nanos);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::Reading;
    use crate::replay::gather::testing::Words;
    use crate::replay::input::{Block, Sources};

    fn reading(paths: &[PathBuf]) -> Reading {
        let sources = Sources::find(paths).expect("logs");
        Reading::new(&sources, &|_| Arc::new(Words::default())).expect("logs").0
    }

    #[test]
    fn a_log_that_is_replaced_meanwhile_is_an_error_and_one_that_grows_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let paths = ["1", "2"].map(|name| folder.path().join(name));
        fs::write(&paths[0], "a 1\n").expect("a file");
        fs::write(&paths[1], "b 2\n").expect("a file");
        let mut reading = reading(&paths);
        let other = folder.path().join("other");
        fs::write(&other, "c 3\n").expect("a file");
        fs::rename(&other, &paths[1]).expect("renamed");
        fs::write(&paths[0], "a 1\na 2\n").expect("a file");

        let mut block = Block::new();
        assert!(reading.next(&mut block).expect("a log").is_some());
        assert_eq!(block.bytes(), b"a 1\na 2\n");
        // Elsewhere a file is known by its path.
        if cfg!(unix) {
            let failure = reading.next(&mut block).err().expect("another file").0;
            assert!(failure.contains("2: was replaced by another file"), "{failure}");
        }
    }

    #[test]
    fn a_reading_that_is_stopped_has_no_more_blocks() {
        let folder = tempfile::tempdir().expect("a folder");
        let paths = ["1", "2"].map(|name| folder.path().join(name));
        paths.iter().for_each(|path| fs::write(path, "a 1\n").expect("a file"));
        let mut reading = reading(&paths);
        let mut block = Block::new();
        assert!(reading.next(&mut block).expect("a log").is_some());
        reading.stop();
        assert!(reading.next(&mut block).expect("no log").is_none());
    }
}
