//! Reports the outcome of requests by the `metrics` facade and by `tracing`, each behind a feature of
//! its name. Names of policies become labels, keys never do.

/// What became of a request by a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Admitted,
    Denied,
    /// The policy would have denied the request, but is in shadow mode.
    Shadowed,
    NoKey,
    /// The backend could not decide.
    Unavailable,
}

/// The name of a policy, under which its outcomes are reported.
pub(crate) struct Name {
    text: Box<str>,
    /// A counter for each outcome, in their order. Made here once, because labels are allocated.
    #[cfg(feature = "metrics")]
    counters: [metrics::Key; 5],
}

impl Name {
    pub(crate) fn new(text: String) -> Self {
        #[cfg(feature = "metrics")]
        let counters = ["admitted", "denied", "shadowed", "no_key", "unavailable"].map(|outcome| {
            let policy = metrics::Label::new("policy", text.clone());
            let outcome = metrics::Label::from_static_parts("outcome", outcome);
            metrics::Key::from_parts("tidegate_http_requests_total", vec![policy, outcome])
        });
        Self {
            text: text.into(),
            #[cfg(feature = "metrics")]
            counters,
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Reports what became of a request by the policy.
    #[cfg_attr(
        not(any(feature = "metrics", feature = "tracing")),
        expect(unused_variables, reason = "for those who collect")
    )]
    #[inline]
    pub(crate) fn decided(&self, outcome: Outcome) {
        #[cfg(feature = "metrics")]
        metrics::with_recorder(|recorder| {
            recorder.register_counter(&self.counters[outcome as usize], &METADATA).increment(1);
        });
        #[cfg(feature = "tracing")]
        match outcome {
            Outcome::Admitted => {}
            Outcome::Denied => tracing::debug!(policy = self.as_str(), "denied a request"),
            Outcome::Shadowed => {
                tracing::debug!(policy = self.as_str(), "would have denied a request");
            }
            // Misconfiguration looks like this, too: a server that does not say who its peers are.
            Outcome::NoKey => tracing::warn!(policy = self.as_str(), "a request has no key"),
            Outcome::Unavailable => {
                tracing::warn!(policy = self.as_str(), "the backend could not decide");
            }
        }
    }
}

#[cfg(feature = "metrics")]
static METADATA: metrics::Metadata<'static> =
    metrics::Metadata::new(module_path!(), metrics::Level::INFO, Some(module_path!()));
