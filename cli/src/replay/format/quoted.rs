//! Text between quotes.

/// Returns the place of the first quote that no backslash escapes.
pub(super) fn quote(text: &[u8]) -> Option<usize> {
    let mut start = 0;
    loop {
        match memchr::memchr2(b'"', b'\\', text.get(start..)?)? + start {
            place if text[place] == b'"' => return Some(place),
            backslash => start = backslash + 2,
        }
    }
}

/// Splits what follows an opening quote into what is quoted and what comes after the closing quote.
/// A quote inside is escaped, or is not followed by a blank: some servers write it as it came.
pub(super) fn split_quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut start = 0;
    loop {
        let end = quote(&text[start..])? + start;
        if matches!(text.get(end + 1), None | Some(b' ' | b'\t')) {
            return Some((&text[..end], &text[end + 1..]));
        }
        start = end + 1;
    }
}
