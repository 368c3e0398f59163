//! The fields of a response that tell a client its limits: those of revision 11 of the IETF's draft
//! "RateLimit header fields for HTTP", `Retry-After`, and the older `X-RateLimit-*`.
//!
//! `RateLimit-Policy` depends only on which policies a request has and in which class: each such value
//! is rendered once and then shared. `RateLimit` is rendered for each response, in one allocation.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use tidegate::Quota;

use crate::backend::Standing;
use crate::policy::QuotaUnit;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const LEGACY: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
];

/// The largest integer that a structured field can hold (RFC 9651, 3.3.1).
const LARGEST: u64 = 999_999_999_999_999;
/// The most values of `RateLimit-Policy` that are kept.
const MOST_KEPT: usize = 4_096;

/// Renders the fields of a layer's policies.
pub(crate) struct Fields {
    limits: Box<[Named]>,
    /// The values of `RateLimit-Policy`, by the policies and classes that they name. Empty if there
    /// would be too many.
    kept: Box<[OnceLock<HeaderValue>]>,
    is_on: bool,
    is_legacy: bool,
}

/// A policy as clients see it.
struct Named {
    /// The name as a string of a structured field.
    quoted: Box<str>,
    classes: Box<[Shown]>,
    /// Whether clients are told of the policy.
    is_shown: bool,
    /// What a class of this policy counts for in the index of the kept values.
    stride: usize,
}

/// A class of a policy as clients see it.
struct Shown {
    /// The item of `RateLimit-Policy`.
    item: Box<str>,
    limit: u64,
}

/// The fields of one response.
#[derive(Default)]
pub(crate) struct Rendered {
    policy: Option<HeaderValue>,
    rate_limit: Option<HeaderValue>,
    /// The limit, what remains of it and the seconds to the reset.
    legacy: Option<[u64; 3]>,
}

impl Fields {
    pub(crate) fn new(is_on: bool, is_legacy: bool) -> Self {
        Self { limits: Box::default(), kept: Box::default(), is_on, is_legacy }
    }

    /// Adds the next policy.
    pub(crate) fn add(&mut self, name: &str, quotas: &[Quota], unit: QuotaUnit, is_shown: bool) {
        let quoted = quoted(name);
        let shown = |quota: &Quota| Shown {
            item: format!("{quoted}{}", parameters(quota, unit)).into(),
            limit: quota.burst_cells().min(LARGEST),
        };
        let classes = quotas.iter().map(shown).collect();
        let before = self.limits.last().map_or(1, Named::values);
        let named = Named { quoted, classes, is_shown, stride: before };
        let values = named.values();
        let limits = std::mem::take(&mut self.limits).into_iter();
        self.limits = limits.chain([named]).collect();
        let kept = if self.is_on && values <= MOST_KEPT { values } else { 0 };
        self.kept = (0..kept).map(|_| OnceLock::new()).collect();
    }

    /// Renders the fields for the limits and classes of a request, and how they stand.
    pub(crate) fn render(&self, applied: &[(u8, u16)], standings: &[Standing]) -> Rendered {
        if !self.is_on && !self.is_legacy {
            return Rendered::default();
        }
        let shown = || {
            let each = applied.iter().zip(standings);
            let each = each.map(|(&(limit, class), standing)| (self.named(limit), class, standing));
            each.filter(|(named, ..)| named.is_shown)
        };
        if shown().next().is_none() {
            return Rendered::default();
        }
        let items = || shown().map(|(named, class, standing)| (&*named.quoted, class, standing));
        let tightest = || {
            // Denied before admitted, then by what remains.
            shown().min_by_key(|(_, _, standing)| (standing.is_admitted, standing.remaining))
        };
        Rendered {
            policy: if self.is_on { self.policy(applied) } else { None },
            rate_limit: if self.is_on {
                rate_limit(|| items().map(|(quoted, _, standing)| (quoted, standing)))
            } else {
                None
            },
            legacy: if self.is_legacy {
                tightest().map(|(named, class, standing)| {
                    let limit = named.classes[usize::from(class)].limit;
                    [limit, standing.remaining.min(LARGEST), window(standing)]
                })
            } else {
                None
            },
        }
    }

    fn named(&self, limit: u8) -> &Named {
        &self.limits[usize::from(limit)]
    }

    /// Returns the value of `RateLimit-Policy`.
    fn policy(&self, applied: &[(u8, u16)]) -> Option<HeaderValue> {
        let shown = applied.iter().map(|&(limit, class)| (self.named(limit), usize::from(class)));
        let shown = shown.filter(|(named, _)| named.is_shown);
        let index = shown.clone().map(|(named, class)| named.stride * (class + 1)).sum::<usize>();
        let render = || {
            let items: Vec<_> = shown.map(|(named, class)| &*named.classes[class].item).collect();
            HeaderValue::from_maybe_shared(Bytes::from(items.join(", ")))
                .unwrap_or(HeaderValue::from_static(""))
        };
        match self.kept.get(index) {
            Some(kept) => Some(kept.get_or_init(render).clone()),
            None => Some(render()),
        }
    }
}

impl Named {
    /// Returns how many values of `RateLimit-Policy` this policy and those before it have.
    fn values(&self) -> usize {
        let choices = if self.is_shown { self.classes.len() + 1 } else { 1 };
        self.stride.saturating_mul(choices)
    }
}

impl Rendered {
    /// Adds the fields to those of a response. Other limits of the same request, of another layer,
    /// may have added theirs.
    pub(crate) fn add_to(self, headers: &mut HeaderMap) {
        if let Some(value) = self.policy {
            headers.append(POLICY, value);
        }
        if let Some(value) = self.rate_limit {
            headers.append(RATE_LIMIT, value);
        }
        if let Some(figures) = self.legacy {
            for (name, figure) in LEGACY.into_iter().zip(figures) {
                headers.entry(name).or_insert_with(|| figure.into());
            }
        }
    }
}

/// Adds `Retry-After`, unless the response has it.
pub(crate) fn add_retry_after(headers: &mut HeaderMap, wait: Duration) {
    headers.entry(RETRY_AFTER).or_insert_with(|| seconds(wait).max(1).into());
}

/// Renders `RateLimit`: an item for each limit.
fn rate_limit<'a, I>(items: impl Fn() -> I) -> Option<HeaderValue>
where
    I: Iterator<Item = (&'a str, &'a Standing)>,
{
    let figures = |standing: &Standing| (standing.remaining.min(LARGEST), window(standing));
    let length = |(quoted, standing): (&str, &Standing)| {
        let (remaining, window) = figures(standing);
        ", ;r=;t=".len() + quoted.len() + digits(remaining) + digits(window)
    };
    // Exact, so that the value is made of the buffer as it is.
    let length = items().map(length).sum::<usize>() - ", ".len();
    let mut value = Vec::with_capacity(length);
    for (at, (quoted, standing)) in items().enumerate() {
        let (remaining, window) = figures(standing);
        value.extend_from_slice(if at == 0 { b"" } else { b", " });
        value.extend_from_slice(quoted.as_bytes());
        value.extend_from_slice(b";r=");
        push(&mut value, remaining);
        value.extend_from_slice(b";t=");
        push(&mut value, window);
    }
    debug_assert_eq!(value.len(), length);
    HeaderValue::from_maybe_shared(Bytes::from(value)).ok()
}

/// Returns the seconds in which a client can use no more than remains. They end with the wait where
/// the limit denied the request, because `Retry-After` must not end before them.
fn window(standing: &Standing) -> u64 {
    match standing.retry_after {
        Some(wait) if !standing.is_admitted => seconds(wait).max(1),
        _ => seconds(standing.reset_after),
    }
}

/// Returns the parameters of a policy: the cells that a client may spend at once, and the seconds in
/// which they flow in.
fn parameters(quota: &Quota, unit: QuotaUnit) -> String {
    let unit = match unit {
        QuotaUnit::Requests => "",
        QuotaUnit::ContentBytes => r#";qu="content-bytes""#,
    };
    let burst = quota.burst_cells();
    let nanos = u128::from(burst).saturating_mul(quota.period().as_nanos());
    let window = match nanos.checked_div(u128::from(quota.cells())) {
        None => String::new(),
        Some(_) => {
            let window = nanos.div_ceil(u128::from(quota.cells())).div_ceil(1_000_000_000);
            format!(";w={}", window.clamp(1, u128::from(LARGEST)))
        }
    };
    format!(";q={}{unit}{window}", burst.min(LARGEST))
}

/// Returns `name`, which is printable ASCII, as a string of a structured field (RFC 9651, 3.3.3).
fn quoted(name: &str) -> Box<str> {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")).into()
}

/// Returns whole seconds that are at least `time`.
fn seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0)).min(LARGEST)
}

/// Returns how many decimal digits a figure has.
fn digits(figure: u64) -> usize {
    figure.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// Appends a figure in decimal digits.
fn push(value: &mut Vec<u8>, mut figure: u64) {
    let start = value.len();
    value.resize(start + digits(figure), b'0');
    for digit in value[start..].iter_mut().rev() {
        *digit = b'0' + (figure % 10) as u8;
        figure /= 10;
    }
}

#[cfg(test)]
mod tests {
    use tidegate::{ManualClock, RateLimiter};

    use super::*;

    /// How a limit stands with these cells left.
    fn standing(remaining: u64, reset: Duration, wait: Option<Duration>) -> Standing {
        Standing {
            is_admitted: wait.is_none(),
            is_shadowed: false,
            remaining,
            reset_after: reset,
            retry_after: wait.or(Some(Duration::ZERO)),
        }
    }

    fn fields(policies: &[(&str, &[Quota], QuotaUnit)]) -> Fields {
        let mut fields = Fields::new(true, true);
        for &(name, quotas, unit) in policies {
            fields.add(name, quotas, unit, true);
        }
        fields
    }

    fn rendered(rendered: Rendered) -> Vec<(String, String)> {
        let mut headers = HeaderMap::new();
        rendered.add_to(&mut headers);
        let text = |value: &HeaderValue| value.to_str().expect("text").to_owned();
        headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
    }

    fn policy(fields: &Fields, applied: &[(u8, u16)]) -> String {
        let standings = vec![Standing::default(); applied.len()];
        let policy = fields.render(applied, &standings).policy.expect("a policy");
        policy.to_str().expect("text").to_owned()
    }

    #[test]
    fn the_examples_of_the_draft() {
        let (requests, bytes) = (QuotaUnit::Requests, QuotaUnit::ContentBytes);
        let quota = |cells, seconds| Quota::new(cells, Duration::from_secs(seconds)).expect("one");

        let fields_of_one = fields(&[("default", &[quota(100, 10)], requests)]);
        assert_eq!(policy(&fields_of_one, &[(0, 0)]), r#""default";q=100;w=10"#);

        let both = &[
            ("permin", &[quota(50, 60)][..], requests),
            ("perhr", &[quota(1_000, 3_600)], requests),
        ];
        let both = policy(&fields(both), &[(0, 0), (1, 0)]);
        assert_eq!(both, r#""permin";q=50;w=60, "perhr";q=1000;w=3600"#);

        let user = fields(&[("peruser", &[quota(65_535, 10)], bytes)]);
        assert_eq!(policy(&user, &[(0, 0)]), r#""peruser";q=65535;qu="content-bytes";w=10"#);

        let stands = standing(50, Duration::from_secs(30), None);
        let rate_limit = fields_of_one.render(&[(0, 0)], &[stands]).rate_limit;
        assert_eq!(rate_limit.expect("a value"), r#""default";r=50;t=30"#);
    }

    #[test]
    fn a_value_names_the_policies_and_classes_of_the_request() {
        let quota = |cells| Quota::per_minute(cells).expect("a quota");
        let unit = QuotaUnit::Requests;
        let fields = fields(&[("a", &[quota(1), quota(2)], unit), ("b", &[quota(3)], unit)]);
        // Twice, because the second time it is one that was kept.
        for _ in 0..2 {
            assert_eq!(policy(&fields, &[(0, 0)]), r#""a";q=1;w=60"#);
            assert_eq!(policy(&fields, &[(0, 1)]), r#""a";q=2;w=60"#);
            assert_eq!(policy(&fields, &[(1, 0)]), r#""b";q=3;w=60"#);
            assert_eq!(policy(&fields, &[(0, 1), (1, 0)]), r#""a";q=2;w=60, "b";q=3;w=60"#);
        }
    }

    #[test]
    fn many_classes_are_rendered_each_time() {
        let quotas = vec![Quota::per_minute(7).expect("a quota"); 100];
        let fields =
            fields(&[("a", &quotas, QuotaUnit::Requests), ("b", &quotas, QuotaUnit::Requests)]);
        assert!(fields.kept.is_empty());
        assert_eq!(policy(&fields, &[(0, 99), (1, 3)]), r#""a";q=7;w=60, "b";q=7;w=60"#);
    }

    #[test]
    fn a_name_is_a_string_of_a_structured_field() {
        let quota = Quota::closed();
        let fields = fields(&[(r#"per "user" \"#, &[quota], QuotaUnit::Requests)]);
        assert_eq!(policy(&fields, &[(0, 0)]), r#""per \"user\" \\";q=0"#);
    }

    #[test]
    fn a_denied_limit_has_no_window_beyond_the_wait() {
        let fields = fields(&[
            ("a", &[Quota::per_minute(60).expect("a quota")], QuotaUnit::Requests),
            ("b", &[Quota::per_day(10).expect("a quota")], QuotaUnit::Requests),
        ]);
        let admits = standing(3, Duration::from_millis(56_001), None);
        let denies = standing(0, Duration::from_secs(86_400), Some(Duration::from_millis(1)));
        let values = rendered(fields.render(&[(0, 0), (1, 0)], &[admits, denies]));
        let expected = [
            ("ratelimit-policy", r#""a";q=60;w=60, "b";q=10;w=86400"#),
            ("ratelimit", r#""a";r=3;t=57, "b";r=0;t=1"#),
            ("x-ratelimit-limit", "10"),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(values, expected);
    }

    #[test]
    fn figures_stay_within_a_structured_field() {
        let most = standing(u64::MAX, Duration::MAX, None);
        let value = rate_limit(|| [("\"a\"", &most)].into_iter()).expect("a value");
        assert_eq!(value, r#""a";r=999999999999999;t=999999999999999"#);
        let none = standing(0, Duration::ZERO, None);
        assert_eq!(rate_limit(|| [("\"a\"", &none)].into_iter()).expect("one"), r#""a";r=0;t=0"#);
    }

    /// The engine renders the same values of a decision that it makes.
    #[test]
    fn the_values_are_those_of_the_engine() {
        let quotas = [
            Quota::per_minute(60).and_then(|quota| quota.burst(20)).expect("a quota"),
            Quota::per_second(1_000).expect("a quota"),
            Quota::new(17, Duration::from_secs(60)).expect("a quota"),
            Quota::closed(),
        ];
        for quota in quotas {
            let limiter = RateLimiter::<u64>::builder(quota).clock(ManualClock::new()).build();
            let decision = limiter.expect("a limiter").check_n(&7, 3);
            let fields = fields(&[("default", &[quota], QuotaUnit::Requests)]);
            assert_eq!(policy(&fields, &[(0, 0)]), decision.headers().policy().to_string());
            if decision.is_admitted() {
                let stands = standing(decision.remaining(), decision.reset_after(), None);
                let ours = fields.render(&[(0, 0)], &[stands]).rate_limit.expect("a value");
                assert_eq!(ours, decision.headers().rate_limit().to_string());
            }
        }
    }
}
