//! The directives of Apache's `mod_log_config`: `%h %l %u %t \"%r\" %>s %b`.

use super::super::part::Part;
use super::Piece;
use super::shape::Shape;

/// Splits a pattern into its directives and the text between them. Quotes may be escaped, as they
/// are in Apache's configuration.
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
                        text.push('[');
                        pieces.extend(Piece::take_text(&mut text));
                        let part = Some((Part::Time, 1));
                        pieces.push(Piece::Field { part, shape: Shape::Clf });
                        text.push(']');
                    }
                    // `%{%d/%b/%Y:%T}t.%{msec_frac}t %{%z}t` is one time.
                    Directive::PartOfTime
                        if matches!(text.as_str(), "" | "." | "," | ":" | " " | "T")
                            && matches!(
                                pieces.last(),
                                Some(Piece::Field { part: OWN_TIME, .. })
                            ) =>
                    {
                        text.clear();
                    }
                    Directive::PartOfTime => {
                        pieces.extend(Piece::take_text(&mut text));
                        pieces.push(Piece::Field { part: OWN_TIME, shape: Shape::Any });
                    }
                    Directive::Field(part, shape) => {
                        pieces.extend(Piece::take_text(&mut text));
                        pieces.push(Piece::Field { part, shape });
                    }
                }
                characters = after.chars();
            }
            other => text.push(other),
        }
    }
    pieces.extend(Piece::take_text(&mut text));
    Ok(pieces)
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
    /// A time of a form that the configuration gives, or a part of it.
    PartOfTime,
    Field(Option<(Part, u8)>, Shape),
}

/// The part and the rank of a time whose form the configuration gives.
const OWN_TIME: Option<(Part, u8)> = Some((Part::Time, 3));

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
        return Some((Directive::Field(None, Shape::Any), rest));
    }
    let letter = rest.chars().next()?;
    let lower = argument.to_ascii_lowercase();
    let field = |part, shape| Directive::Field(Some(part), shape);
    let directive = match (letter, lower.as_str()) {
        ('%', _) => Directive::Percent,
        ('a', "") => field((Part::Client, 0), Shape::Clients),
        ('h', _) => field((Part::Client, 1), Shape::Clients),
        ('a', "c") => field((Part::Client, 2), Shape::Clients),
        ('i', "x-forwarded-for") => field((Part::Forwarded, 0), Shape::Clients),
        ('t', "") => Directive::Time,
        ('t', "sec" | "begin:sec" | "end:sec") => field((Part::Time, 2), Shape::Number),
        ('t', "msec" | "usec" | "begin:msec" | "begin:usec" | "end:msec" | "end:usec") => {
            field((Part::Time, 0), Shape::Number)
        }
        ('t', _) => Directive::PartOfTime,
        ('u', _) => field((Part::User, 0), Shape::Any),
        ('r', _) => field((Part::Request, 0), Shape::Any),
        ('m', _) => field((Part::Method, 0), Shape::Word),
        ('U', _) => field((Part::Target, 0), Shape::Any),
        ('s', _) => field((Part::Status, 0), Shape::Status),
        ('b' | 'B', _) => field((Part::Bytes, 0), Shape::Number),
        ('O', _) => field((Part::Bytes, 1), Shape::Number),
        ('q', _) => Directive::Field(None, Shape::Query),
        ('D' | 'I' | 'S' | 'k' | 'P' | 'p', _) => Directive::Field(None, Shape::Number),
        ('A' | 'H' | 'V' | 'X' | 'l' | 'v', _) => Directive::Field(None, Shape::Word),
        ('C' | 'L' | 'R' | 'T' | 'e' | 'f' | 'i' | 'n' | 'o', _) => {
            Directive::Field(None, Shape::Any)
        }
        _ => return None,
    };
    Some((directive, &rest[letter.len_utf8()..]))
}
