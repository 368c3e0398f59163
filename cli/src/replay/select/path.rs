//! The path of a request, in one spelling.

use std::borrow::Cow;

/// Returns the path of a target without the query and the fragment, and of a whole URL without the
/// scheme and the host.
///
/// Escapes are normalised as RFC 3986 (6.2.2) does for equivalent URIs: an escaped letter, digit,
/// `-`, `.`, `_` or `~` is the character itself, and other escapes are in upper case. So `/%61` is
/// `/a`, and a client gets no bucket of its own by another spelling. Everything else stays as it
/// is: `/A`, `//a` and `/./a` are other paths than `/a`.
pub(super) fn path(target: &[u8]) -> Cow<'_, [u8]> {
    let end = target.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(target.len());
    let path = of_url(&target[..end]);
    match path.contains(&b'%') {
        false => Cow::Borrowed(path),
        true => Cow::Owned(normalised(path)),
    }
}

/// Returns what follows the host of `scheme://host/path`.
fn of_url(target: &[u8]) -> &[u8] {
    let scheme = target.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    match target[scheme..].strip_prefix(b"://") {
        Some(rest) if scheme > 0 => {
            let host = rest.iter().position(|&byte| byte == b'/');
            host.map_or(b"/", |end| &rest[end..])
        }
        _ => target,
    }
}

fn normalised(path: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let escaped = match *after {
            [high, low, ..] if byte == b'%' => digit(high).zip(digit(low)),
            _ => None,
        };
        let Some((high, low)) = escaped else {
            text.push(byte);
            continue;
        };
        match high << 4 | low {
            plain if plain.is_ascii_alphanumeric() || b"-._~".contains(&plain) => text.push(plain),
            _ => {
                text.push(b'%');
                text.extend(after[..2].iter().map(u8::to_ascii_uppercase));
            }
        }
        rest = &after[2..];
    }
    text
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

/// The ends of names of static assets: styles, scripts, images, fonts and the like.
const ASSETS: [&str; 21] = [
    "css", "js", "mjs", "map", "wasm", "png", "jpg", "jpeg", "gif", "svg", "ico", "webp", "avif",
    "bmp", "woff", "woff2", "ttf", "otf", "eot", "mp4", "webm",
];

/// Returns whether a path names a static asset.
pub(super) fn is_asset(path: &[u8]) -> bool {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    let Some(dot) = name.iter().rposition(|&byte| byte == b'.') else {
        return false;
    };
    ASSETS.iter().any(|asset| name[dot + 1..].eq_ignore_ascii_case(asset.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::{is_asset, path};

    #[test]
    fn a_path_has_one_spelling() {
        for (target, expected) in [
            ("/a?x=1", "/a"),
            ("/a#top", "/a"),
            ("/a?", "/a"),
            ("/a b", "/a b"),
            ("/a c?d e", "/a c"),
            ("http://h/a", "/a"),
            ("http://h:80/a?b", "/a"),
            ("http://h", "/"),
            ("http://h?x", "/"),
            ("https://[2001:db8::1]/a/b", "/a/b"),
            // No scheme, or none at the beginning.
            ("/http://h/a", "/http://h/a"),
            ("://h/a", "://h/a"),
            ("//a", "//a"),
            ("*", "*"),
            ("h:443", "h:443"),
            ("/%61%2d%7E", "/a-~"),
            ("/%2f%c3%A4", "/%2F%C3%A4"),
            ("/100%", "/100%"),
            ("/%", "/%"),
            ("/%4", "/%4"),
            ("/%zz%41", "/%zzA"),
            ("/%2561", "/%2561"),
            ("", ""),
        ] {
            assert_eq!(path(target.as_bytes()), expected.as_bytes(), "{target}");
        }
    }

    #[test]
    fn assets_are_known_by_their_names() {
        for (path, asset) in [
            ("/a.css", true),
            ("/b/app.min.JS", true),
            ("/font.woff2", true),
            ("/a.css/b", false),
            ("/css", false),
            ("/a.cssx", false),
            ("/a.", false),
            ("", false),
        ] {
            assert_eq!(is_asset(path.as_bytes()), asset, "{path}");
        }
    }
}
