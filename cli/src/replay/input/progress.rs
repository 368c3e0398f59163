//! A bar on a terminal, while reading takes long.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

/// How long reading may take before a bar is shown.
const PATIENCE: Duration = Duration::from_secs(1);

/// Counts the bytes that are read, and shows them on a terminal once reading has taken a second.
/// Clones count together. The bar is taken away when the last is dropped.
#[derive(Clone)]
pub(crate) struct Progress(Option<Shown>);

#[derive(Clone)]
struct Shown {
    bar: ProgressBar,
    start: Instant,
    terminal: fn() -> ProgressDrawTarget,
}

impl Progress {
    /// Begins to count towards `length`, if it is known, for standard error if that is a terminal.
    pub(crate) fn new(length: Option<u64>) -> Self {
        Self::with(length, Instant::now(), ProgressDrawTarget::stderr)
    }

    /// Returns a count that is shown nowhere.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    fn with(length: Option<u64>, start: Instant, terminal: fn() -> ProgressDrawTarget) -> Self {
        let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::hidden())
            .with_finish(ProgressFinish::AndClear);
        let template = match length {
            Some(_) => "reading {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
            None => "reading {spinner} {bytes}, {bytes_per_sec}",
        };
        bar.set_style(ProgressStyle::with_template(template).expect("a template of our own"));
        Self(Some(Shown { bar, start, terminal }))
    }

    /// Counts bytes that were read.
    pub(crate) fn add(&self, bytes: u64) {
        let Some(Shown { bar, start, terminal }) = &self.0 else { return };
        bar.inc(bytes);
        if bar.is_hidden() && start.elapsed() > PATIENCE {
            // It stays hidden if that is no terminal.
            bar.set_draw_target(terminal());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;
    use std::time::{Duration, Instant};

    use indicatif::{ProgressDrawTarget, TermLike};

    use super::Progress;

    static WRITTEN: Mutex<String> = Mutex::new(String::new());

    /// A terminal that remembers what was written.
    #[derive(Debug)]
    struct Terminal;

    impl TermLike for Terminal {
        fn width(&self) -> u16 {
            100
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            WRITTEN.lock().expect("no panic").push_str(text);
            Ok(())
        }

        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written() -> String {
        std::mem::take(&mut WRITTEN.lock().expect("no panic"))
    }

    #[test]
    fn a_bar_is_shown_on_a_terminal_after_a_second() {
        let terminal = || ProgressDrawTarget::term_like(Box::new(Terminal));
        let quick = Progress::with(Some(1000), Instant::now(), terminal);
        quick.add(500);
        drop(quick);
        assert_eq!(written(), "");

        let Some(start) = Instant::now().checked_sub(Duration::from_secs(2)) else { return };
        let slow = Progress::with(Some(1000), start, terminal);
        slow.add(250);
        slow.clone().add(250);
        drop(slow);
        let text = written();
        assert!(text.contains("500 B of 1000 B"), "{text}");
        assert!(text.contains("/s") && text.contains("left"), "{text}");

        let unknown = Progress::with(None, start, terminal);
        unknown.add(500);
        unknown.add(500);
        drop(unknown);
        let text = written();
        assert!(text.contains("reading") && text.contains("/s"), "{text}");
    }

    #[test]
    fn nothing_is_shown_where_there_is_no_terminal() {
        let Some(start) = Instant::now().checked_sub(Duration::from_secs(2)) else { return };
        let progress = Progress::with(Some(1000), start, ProgressDrawTarget::hidden);
        progress.add(500);
        progress.add(500);
        assert!(progress.0.is_some_and(|shown| shown.bar.is_hidden()));
    }
}
