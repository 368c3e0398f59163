//! Formats by their names.

use std::sync::Arc;

use super::Format;
use super::aws::Aws;
use super::behind::{Behind, MOST_PREFIXES, Prefixes};
use super::common::Common;
use super::haproxy::HaProxy;
use super::json;
use super::pattern::{self, Pattern};
use super::prefix::Prefix;
use super::w3c::W3c;
use crate::failure::Failure;

/// Returns every format that has a name, from the most general to the most specific.
pub(super) fn all() -> Vec<Arc<dyn Format>> {
    vec![
        Arc::new(Common::Plain),
        Arc::new(Common::Combined),
        Arc::new(Common::Traefik),
        Arc::new(Common::Vhost),
        Arc::new(W3c::iis()),
        Arc::new(W3c::cloudfront()),
        Arc::new(Aws::S3),
        Arc::new(Aws::Alb),
        Arc::new(HaProxy),
        Arc::new(json::known()),
        Arc::new(json::nginx()),
        Arc::new(json::traefik()),
        Arc::new(json::caddy()),
    ]
}

/// Returns the format with this name, such as `combined`, whatever prefixes its lines have. If
/// names of prefixes stand before it, as in `syslog combined`, the lines have exactly these. The
/// words may also be a pattern of nginx or Apache.
///
/// # Errors
///
/// Fails if no format has the name, or if the pattern lacks a client or a time.
pub(crate) fn named(words: &str) -> Result<Arc<dyn Format>, Failure> {
    let wrong = |reason: &dyn std::fmt::Display| {
        Failure::new(format_args!("--log-format {}", words.escape_debug()), reason)
    };
    if pattern::is_pattern(words) {
        let pattern = Pattern::new(words).map_err(|reason| wrong(&reason))?;
        return Ok(Arc::new(Behind { prefixes: Prefixes::Any, inner: Arc::new(pattern) }));
    }
    let mut names: Vec<&str> = words.split_ascii_whitespace().collect();
    let name = names.pop().ok_or_else(|| wrong(&"empty"))?;
    let mut prefixes = Vec::new();
    for name in names {
        let prefix = Prefix::ALL.into_iter().find(|prefix| prefix.name() == name);
        prefixes.push(
            prefix.ok_or_else(|| {
                wrong(&format_args!("no prefix is called {}", name.escape_debug()))
            })?,
        );
    }
    if prefixes.len() > MOST_PREFIXES {
        return Err(wrong(&format_args!("more than {MOST_PREFIXES} prefixes")));
    }
    let formats = all();
    let Some(inner) = formats.iter().find(|format| format.name().eq_ignore_ascii_case(name)) else {
        let known: Vec<_> = formats.iter().rev().map(|format| format.name()).collect();
        return Err(wrong(&format_args!(
            "none of {}, nor a pattern with the $ of nginx or the % of Apache",
            known.join(", ")
        )));
    };
    let prefixes = if prefixes.is_empty() { Prefixes::Any } else { Prefixes::These(prefixes) };
    Ok(Arc::new(Behind { prefixes, inner: Arc::clone(inner) }))
}

/// Returns the format of JSON lines whose fields are where the words of `--json-fields` say:
/// `client=ip,time=t,path=request.url`.
///
/// # Errors
///
/// Fails with what is wrong in the words.
pub(crate) fn json_fields(words: &str) -> Result<Arc<dyn Format>, Failure> {
    Ok(Arc::new(Behind { prefixes: Prefixes::Any, inner: Arc::new(json::json(words)?) }))
}
