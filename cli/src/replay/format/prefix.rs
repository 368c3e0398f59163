//! What other programs write before a line.

use super::super::stamp;
use super::client::is_host;
use super::value;

/// Something that stands before a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prefix {
    /// `May 17 10:00:00 web1 nginx[7]: `, also with a time of ISO 8601, as rsyslog writes it; or
    /// `<134>1 2015-05-17T10:00:00Z web1 nginx 7 - - `, of RFC 5424.
    Syslog,
    /// `web-1  | `, of docker compose.
    Compose,
    /// `[pod/web-6d4b/nginx] `, of `kubectl logs --prefix`.
    Kubectl,
    /// `2015-05-17T10:00:00Z `, of `docker logs -t` or `kubectl logs --timestamps`; and with
    /// `stdout F ` after it, of the files of Kubernetes.
    Time,
}

impl Prefix {
    /// Every prefix. Where several match, an earlier one takes more off the line.
    pub(super) const ALL: [Self; 4] = [Self::Syslog, Self::Compose, Self::Kubectl, Self::Time];

    /// Returns the name of the prefix, as `--log-format` takes it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Syslog => "syslog",
            Self::Compose => "compose",
            Self::Kubectl => "kubectl",
            Self::Time => "time",
        }
    }

    /// Returns what follows the prefix, if the line has it.
    pub(super) fn strip(self, line: &[u8]) -> Option<&[u8]> {
        match self {
            Self::Syslog => {
                let line = strip_priority(line);
                match line.strip_prefix(b"1 ").and_then(strip_rfc5424) {
                    Some(rest) => Some(rest),
                    None => strip_rfc3164(line),
                }
            }
            Self::Compose => strip_compose(line),
            Self::Kubectl => {
                let rest = line.strip_prefix(b"[pod/")?;
                let (pod, rest) = word(rest)?;
                pod.ends_with(b"]").then_some(rest)
            }
            Self::Time => {
                let rest = strip_iso(line)?;
                // The log files of containers: the stream, and whether the line is whole.
                let whole = rest.strip_prefix(b"stdout F ");
                Some(whole.or_else(|| rest.strip_prefix(b"stderr F ")).unwrap_or(rest))
            }
        }
    }
}

/// Splits off a word and the blanks after it.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let blank = memchr::memchr(b' ', text).filter(|&blank| blank > 0)?;
    Some((&text[..blank], text[blank..].trim_ascii_start()))
}

/// Strips `<134>`, if it is there.
fn strip_priority(line: &[u8]) -> &[u8] {
    let Some(rest) = line.strip_prefix(b"<") else { return line };
    let number = value::digits(rest).filter(|&digits| digits <= 3);
    number.and_then(|digits| rest[digits..].strip_prefix(b">")).unwrap_or(line)
}

/// Strips a time, up to two words for the host, and a tag such as `nginx[7]: `.
fn strip_rfc3164(line: &[u8]) -> Option<&[u8]> {
    let mut rest = strip_iso(line).or_else(|| strip_old_time(line))?;
    // Senders leave the host out, and some relays write it twice.
    for _ in 0..3 {
        let (next, after) = word(rest)?;
        if is_tag(next) {
            return Some(after);
        }
        if !is_host(next) {
            return None;
        }
        rest = after;
    }
    None
}

/// Strips `May 17 10:00:00 `, also with a year before the time.
fn strip_old_time(line: &[u8]) -> Option<&[u8]> {
    let (month, rest) = word(line)?;
    let (day, rest) = word(rest)?;
    let (time, after) = word(rest)?;
    let is_number = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
    let is_day = month.len() == 3
        && month.iter().all(u8::is_ascii_alphabetic)
        && day.len() <= 2
        && is_number(day);
    let (time, after) =
        if time.len() == 4 && is_number(time) { word(after)? } else { (time, after) };
    let is_time = matches!(time, [_, _, b':', _, _, b':', _, _, ..]);
    (is_day && is_time).then_some(after)
}

/// Returns whether a word is the name of a program, perhaps with its process in brackets, and a
/// colon.
fn is_tag(word: &[u8]) -> bool {
    let Some(tag) = word.strip_suffix(b":") else { return false };
    let is_of_name = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/' | b'@')
    };
    let is_name = |name: &[u8]| (1..=64).contains(&name.len()) && name.iter().all(is_of_name);
    match tag.strip_suffix(b"]") {
        Some(tag) => memchr::memchr(b'[', tag)
            .is_some_and(|bracket| is_name(&tag[..bracket]) && is_name(&tag[bracket + 1..])),
        None => is_name(tag),
    }
}

/// Strips what follows `<134>1 `: time, host, program, process, message id, structured data.
fn strip_rfc5424(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text.strip_prefix(b"- ").or_else(|| strip_iso(text))?;
    for _ in 0..4 {
        (_, rest) = word(rest)?;
    }
    let rest = match rest.strip_prefix(b"-") {
        Some(rest) => rest,
        None => {
            while rest.starts_with(b"[") {
                rest = &rest[end_of_element(rest)?..];
            }
            rest
        }
    };
    rest.strip_prefix(b" ")
}

/// Returns where an element of structured data ends, in whose quoted values a bracket may stand.
fn end_of_element(text: &[u8]) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    let end = text.iter().position(|&byte| {
        let ends = byte == b']' && !quoted;
        quoted ^= byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })?;
    Some(end + 1)
}

/// Strips `web-1  | `, also in colours.
fn strip_compose(line: &[u8]) -> Option<&[u8]> {
    let line = strip_colour(line);
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let end = line.iter().take_while(|byte| is_of_name(byte)).count();
    let rest = line[end..].strip_prefix(b" ").filter(|_| end > 0)?;
    let rest = rest.trim_ascii_start().strip_prefix(b"|")?;
    let rest = strip_colour(rest);
    Some(strip_colour(rest.strip_prefix(b" ").unwrap_or(rest)))
}

/// Strips `ESC [ 36 m`, if it is there.
fn strip_colour(text: &[u8]) -> &[u8] {
    let Some(rest) = text.strip_prefix(b"\x1b[") else { return text };
    let codes = rest.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b';').count();
    rest[codes..].strip_prefix(b"m").unwrap_or(text)
}

/// Strips a time of ISO 8601 and the blanks after it. A blank may stand between date and time.
fn strip_iso(text: &[u8]) -> Option<&[u8]> {
    if text.get(4) != Some(&b'-') {
        return None;
    }
    let (first, mut rest) = word(text)?;
    let mut time = first;
    if first.len() == "2015-05-17".len() {
        let second;
        (second, rest) = word(rest)?;
        time = &text[..first.len() + 1 + second.len()];
    }
    stamp::iso(time).is_ok().then_some(rest)
}
