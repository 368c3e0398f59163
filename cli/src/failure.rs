//! What ends a command early.

/// One line that names what is wrong. The exit status is 2.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure(pub(crate) String);

impl Failure {
    /// Makes the line `subject: reason`. A long subject is cut, so that the reason is seen.
    pub(crate) fn new(subject: impl std::fmt::Display, reason: impl std::fmt::Display) -> Self {
        let mut subject = subject.to_string();
        if let Some((end, _)) = subject.char_indices().nth(LONGEST_SUBJECT) {
            subject.truncate(end);
            subject.push('…');
        }
        Self(format!("{subject}: {reason}"))
    }
}

/// The most characters of a subject. A useful path or pattern is shorter.
const LONGEST_SUBJECT: usize = 400;

#[cfg(test)]
mod tests {
    use super::Failure;

    #[test]
    fn a_long_subject_does_not_hide_the_reason() {
        let long = "--log-format ".to_owned() + &"ä".repeat(100_000);
        let Failure(line) = Failure::new(long, "no client in it");
        assert!(line.starts_with("--log-format ä") && line.ends_with("ä…: no client in it"));
        assert!(line.chars().count() < 500);
    }
}
