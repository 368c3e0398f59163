//! Text in a page.

use crate::shown::shown;

/// The characters of a text that are shown.
const LONGEST: usize = 300;

/// Returns a text that a page shows as it is, between tags and in quoted attributes. All texts pass
/// through here, because keys, names and reasons may hold what others wrote.
pub(super) fn plain(text: &str) -> String {
    escaped(&shown(text, LONGEST))
}

fn escaped(text: &str) -> String {
    let mut plain = String::new();
    for char in text.chars() {
        match char {
            '&' => plain.push_str("&amp;"),
            '<' => plain.push_str("&lt;"),
            '>' => plain.push_str("&gt;"),
            '"' => plain.push_str("&quot;"),
            '\'' => plain.push_str("&#39;"),
            char => plain.push(char),
        }
    }
    plain
}

/// Returns a key as code: its beginning, and more of it as a title.
pub(super) fn key(text: &str) -> String {
    const SHORT: usize = 60;
    let short = shown(text, SHORT);
    let (short, long) = (escaped(&short), plain(text));
    if short == long {
        return format!("<code>{short}</code>");
    }
    format!("<code title=\"{long}\">{short}</code>")
}

#[cfg(test)]
mod tests {
    use super::{key, plain};

    #[test]
    fn no_text_is_a_tag_an_attribute_or_an_entity() {
        assert_eq!(
            plain("<script>\"'&amp;\u{202e}\0"),
            "&lt;script&gt;&quot;&#39;&amp;amp;\\u{202e}\\u{0}"
        );
    }

    #[test]
    fn a_long_key_is_cut_twice() {
        assert_eq!(key("/<b>"), "<code>/&lt;b&gt;</code>");
        let long = "\"".repeat(1_000);
        let (sixty, more) = ("&quot;".repeat(60), "&quot;".repeat(300));
        assert_eq!(key(&long), format!("<code title=\"{more}…\">{sixty}…</code>"));
    }
}
