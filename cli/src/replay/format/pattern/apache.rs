//! The directives of Apache's `mod_log_config`: `%h %l %u %t \"%r\" %>s %b`.

use super::super::part::Part;
use super::{CLF, CLIENTS, NUMBER, Piece, STATUS, WORD};

/// Splits a pattern into its directives and the text between them. Quotes may be escaped, as they are
/// in Apache's configuration.
///
/// # Errors
///
/// Fails if a directive is none of Apache's.
pub(super) fn pieces(words: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut characters = words.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('t') => text.push('\t'),
                Some(escaped) => text.push(escaped),
                None => text.push('\\'),
            },
            '%' => {
                let rest = characters.as_str();
                let (directive, after) = directive(rest)
                    .ok_or_else(|| format!("%{} is no directive of Apache", beginning(rest)))?;
                match directive {
                    Directive::Percent => text.push('%'),
                    Directive::Time => {
                        pieces.extend(take(&mut text, "["));
                        let part = Some((Part::Time, 1));
                        pieces.push(Piece::Field { part, shape: Some(CLF) });
                        text.push(']');
                    }
                    Directive::Field(part, shape) => {
                        pieces.extend(take(&mut text, ""));
                        pieces.push(Piece::Field { part, shape });
                    }
                }
                characters = after.chars();
            }
            other => text.push(other),
        }
    }
    pieces.extend(take(&mut text, ""));
    Ok(pieces)
}

/// Takes the text so far, with an end, as a piece.
fn take(text: &mut String, end: &str) -> Option<Piece> {
    text.push_str(end);
    (!text.is_empty()).then(|| Piece::Text(std::mem::take(text)))
}

/// Returns the first characters of what may be a directive, to be shown.
fn beginning(rest: &str) -> String {
    let beginning = rest.chars().take(8).take_while(|character| *character != ' ');
    beginning.flat_map(char::escape_debug).collect()
}

enum Directive {
    Percent,
    /// `%t`, which brings its brackets.
    Time,
    Field(Option<(Part, u8)>, Option<&'static str>),
}

/// Reads a directive behind its `%`: perhaps the statuses for which it is written, `<` or `>`, an
/// argument in braces, and a letter.
fn directive(rest: &str) -> Option<(Directive, &str)> {
    let rest = rest.trim_start_matches(|character: char| {
        matches!(character, '0'..='9' | ',' | '!' | '<' | '>')
    });
    let (argument, rest) = match rest.strip_prefix('{') {
        Some(inner) => inner.split_once('}')?,
        None => ("", rest),
    };
    let rest = rest.trim_start_matches(['<', '>']);
    // `%{name}^ti` is a trailer.
    if let Some(rest) = rest.strip_prefix("^ti").or_else(|| rest.strip_prefix("^to")) {
        return Some((Directive::Field(None, None), rest));
    }
    let letter = rest.chars().next()?;
    let lower = argument.to_ascii_lowercase();
    let field = |part, shape| Directive::Field(Some(part), shape);
    let directive = match (letter, lower.as_str()) {
        ('%', _) => Directive::Percent,
        ('a', "") => field((Part::Client, 0), Some(CLIENTS)),
        ('h', _) => field((Part::Client, 1), Some(CLIENTS)),
        ('a', "c") => field((Part::Client, 2), Some(CLIENTS)),
        ('i', "x-forwarded-for") => field((Part::Forwarded, 0), Some(CLIENTS)),
        ('t', "") => Directive::Time,
        ('t', "sec" | "begin:sec" | "end:sec") => field((Part::Time, 2), Some(r"\d+")),
        ('t', "msec" | "usec" | "begin:msec" | "begin:usec" | "end:msec" | "end:usec") => {
            field((Part::Time, 0), Some(r"\d+"))
        }
        // The parts of a second alone are no time.
        ('t', "msec_frac" | "usec_frac" | "begin:msec_frac" | "begin:usec_frac") => {
            Directive::Field(None, Some(r"\d+"))
        }
        ('t', _) => field((Part::Time, 1), None),
        ('u', _) => field((Part::User, 0), None),
        ('r', _) => field((Part::Request, 0), None),
        ('m', _) => field((Part::Method, 0), Some(WORD)),
        ('U', _) => field((Part::Target, 0), None),
        ('s', _) => field((Part::Status, 0), Some(STATUS)),
        ('b' | 'B', _) => field((Part::Bytes, 0), Some(NUMBER)),
        ('O', _) => field((Part::Bytes, 1), Some(NUMBER)),
        ('q', _) => Directive::Field(None, Some(r"(?:\?.*?)?")),
        ('D' | 'I' | 'S' | 'k' | 'P' | 'p', _) => Directive::Field(None, Some(NUMBER)),
        ('A' | 'H' | 'V' | 'X' | 'l' | 'v', _) => Directive::Field(None, Some(WORD)),
        ('C' | 'L' | 'R' | 'T' | 'e' | 'f' | 'i' | 'n' | 'o', _) => Directive::Field(None, None),
        _ => return None,
    };
    Some((directive, &rest[letter.len_utf8()..]))
}
