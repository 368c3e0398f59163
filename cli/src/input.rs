//! Lines from a file, a gzip file, standard input, or the built-in day.

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flate2::bufread::MultiGzDecoder;
use indicatif::{ProgressBar, ProgressStyle};

use crate::failure::Failure;
use crate::synthetic;

/// The longest line that is looked at. Real ones stay below 16 KiB, the servers' own limit; a file
/// without line ends must not fill the memory.
const LONGEST: usize = 64 * 1024;

/// Where the lines come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    File(PathBuf),
    Stdin,
    /// Not asked for by name: standard input, or the built-in day if there is nothing.
    StdinOrBuiltIn,
}

impl Source {
    pub(crate) fn new(file: Option<&Path>) -> Self {
        match file {
            None => Self::StdinOrBuiltIn,
            Some(path) if path == Path::new("-") => Self::Stdin,
            Some(path) => Self::File(path.to_owned()),
        }
    }

    /// Hands over every line with its number; `None` for one that is too long. Returns the name of
    /// what was read.
    pub(crate) fn lines(&self, each: impl FnMut(u64, Option<&str>)) -> Result<String, Failure> {
        match self {
            Self::File(path) => {
                let name = path.display().to_string();
                let file = File::open(path).map_err(|error| Failure::new(&name, error))?;
                let length = file.metadata().ok().map(|metadata| metadata.len());
                read(BufReader::new(file), &name, length, each)?;
                Ok(name)
            }
            Self::Stdin => {
                let name = "standard input";
                read(std::io::stdin().lock(), name, None, each)?;
                Ok(name.to_owned())
            }
            Self::StdinOrBuiltIn => {
                let mut stdin = std::io::stdin().lock();
                if !std::io::stdin().is_terminal() {
                    let name = "standard input";
                    let first = stdin.fill_buf().map_err(|error| Failure::new(name, error))?;
                    if !first.is_empty() {
                        read(stdin, name, None, each)?;
                        return Ok(name.to_owned());
                    }
                }
                let day = synthetic::day();
                read(&day[..], synthetic::NAME, Some(day.len() as u64), each)?;
                Ok(synthetic::NAME.to_owned())
            }
        }
    }
}

fn read(
    mut input: impl BufRead,
    name: &str,
    length: Option<u64>,
    each: impl FnMut(u64, Option<&str>),
) -> Result<(), Failure> {
    let start = input.fill_buf().map_err(|error| Failure::new(name, error))?;
    // By its first bytes, not its name: logs are rotated, renamed and piped.
    let is_gzip = start.starts_with(&[0x1f, 0x8b]);
    let counted = Counted { inner: input, progress: Progress::new(length) };
    if is_gzip {
        let decoded = BufReader::new(MultiGzDecoder::new(BufReader::new(counted)));
        split(decoded, each)
            .map_err(|error| Failure::new(name, format_args!("broken gzip: {error}")))
    } else {
        split(BufReader::new(counted), each).map_err(|error| Failure::new(name, error))
    }
}

/// Splits the input into lines, of which it keeps one at a time.
fn split(mut input: impl BufRead, mut each: impl FnMut(u64, Option<&str>)) -> std::io::Result<()> {
    let (mut line, mut number) = (Vec::new(), 0);
    loop {
        line.clear();
        let length = (&mut input).take(LONGEST as u64 + 1).read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok(());
        }
        number += 1;
        if length > LONGEST {
            if !line.ends_with(b"\n") {
                input.skip_until(b'\n')?;
            }
            each(number, None);
            continue;
        }
        let text = String::from_utf8_lossy(&line);
        each(number, Some(text.trim_end_matches(['\n', '\r'])));
    }
}

/// Counts what is read, for the progress bar.
struct Counted<R> {
    inner: R,
    progress: Progress,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.progress.add(read as u64);
        Ok(read)
    }
}

/// A bar on a terminal, once reading has taken a second.
struct Progress {
    start: Instant,
    length: Option<u64>,
    read: u64,
    bar: Option<ProgressBar>,
}

impl Progress {
    fn new(length: Option<u64>) -> Self {
        Self { start: Instant::now(), length, read: 0, bar: None }
    }

    fn add(&mut self, bytes: u64) {
        self.read += bytes;
        if self.bar.is_none() {
            let late = self.start.elapsed() > Duration::from_secs(1);
            if !late || !std::io::stderr().is_terminal() {
                return;
            }
            self.bar = Some(self.draw());
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.read);
        }
    }

    fn draw(&self) -> ProgressBar {
        let (bar, template) = match self.length {
            Some(length) => (
                ProgressBar::new(length),
                "reading {wide_bar} {bytes} of {total_bytes}, {eta} left",
            ),
            None => (ProgressBar::new_spinner(), "reading {spinner} {bytes}, {bytes_per_sec}"),
        };
        bar.set_style(ProgressStyle::with_template(template).expect("a template of our own"));
        bar
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, split};

    fn lines(input: &[u8]) -> Vec<Option<String>> {
        let mut lines = Vec::new();
        let each = |_, line: Option<&str>| lines.push(line.map(str::to_owned));
        split(input, each).expect("no error from memory");
        lines
    }

    #[test]
    fn lines_end_as_on_any_system() {
        let expected: Vec<_> = ["a", "", "b"].map(|line| Some(line.to_owned())).into();
        assert_eq!(lines(b"a\n\nb"), expected);
        assert_eq!(lines(b"a\r\n\r\nb\r\n"), expected);
        assert_eq!(lines(b""), []);
    }

    #[test]
    fn a_line_without_end_is_passed_over_and_the_next_one_read() {
        let mut input = vec![b'x'; 3 * LONGEST];
        input.extend(b"\nnext");
        assert_eq!(lines(&input), [None, Some("next".to_owned())]);
        assert_eq!(lines(&vec![b'x'; LONGEST]), [Some("x".repeat(LONGEST))]);
    }

    #[test]
    fn bytes_that_are_no_text_do_not_stop_it() {
        assert_eq!(lines(b"\xff\xfe\nok").len(), 2);
    }
}
