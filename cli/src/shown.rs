//! Text from a log, made fit to be shown.

use std::fmt::Write;

/// Returns the beginning of `text`, at most `most` characters of it, fit for a terminal or a page.
///
/// Keys come from the clients, and so do parts of names and reasons. A terminal would obey control
/// characters, and invisible characters or a change of the writing direction would make one key
/// look like another: all these are written as `\u{..}`. `…` ends a text that was cut.
pub(crate) fn shown(text: &str, most: usize) -> String {
    let mut shown = String::new();
    for (place, char) in text.chars().enumerate() {
        if place == most {
            shown.push('…');
            break;
        }
        if is_visible(char) {
            shown.push(char);
        } else {
            // Writing to a string does not fail.
            _ = write!(shown, "\\u{{{:x}}}", u32::from(char));
        }
    }
    shown
}

/// Returns whether a character is neither a control character nor invisible, and does not change
/// the direction of writing.
pub(crate) fn is_visible(char: char) -> bool {
    let invisible = matches!(
        char,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    );
    !char.is_control() && !invisible
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn a_key_cannot_command_the_terminal() {
        assert_eq!(shown("/a\u{1b}[2J\u{9b}1m\u{7f}", 60), "/a\\u{1b}[2J\\u{9b}1m\\u{7f}");
        assert_eq!(shown("a\r\nb\0", 60), "a\\u{d}\\u{a}b\\u{0}");
    }

    #[test]
    fn a_key_cannot_look_like_another() {
        assert_eq!(shown("/\u{202e}gpj.exe", 60), "/\\u{202e}gpj.exe");
        assert_eq!(shown("/a\u{200b}", 60), "/a\\u{200b}");
        assert_eq!(shown("/straße/日本", 60), "/straße/日本");
    }

    #[test]
    fn a_long_key_is_cut() {
        assert_eq!(shown(&"x".repeat(60), 60), "x".repeat(60));
        assert_eq!(shown(&"x".repeat(61), 60), "x".repeat(60) + "…");
    }
}
