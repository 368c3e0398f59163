//! The layer.

use std::fmt;
use std::sync::Arc;

use tower_layer::Layer;

use crate::gate::Gate;
use crate::local::Local;
use crate::service::RateLimit;

/// Puts rate limits in front of a service.
///
/// A clone has the same buckets, so a limit is one limit however many routes, connections and workers
/// have a clone. There is no task to start and nothing to sweep.
///
/// ```
/// use tidegate::Quota;
/// use tidegate_tower::{Policy, RateLimitLayer, Route, key};
///
/// let layer = RateLimitLayer::builder()
///     .policy(Policy::new("clients", Quota::per_minute(60)?.burst(20)?))
///     .policy(Policy::new("all", Quota::per_second(5_000)?).key(key::global()).keys(1))
///     .policy(Policy::new("logins", Quota::per_minute(5)?).only(Route::post("/login")))
///     .build()?;
/// # let _ = layer;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RateLimitLayer<B = Local> {
    gate: Arc<Gate<B>>,
}

impl<B> RateLimitLayer<B> {
    pub(crate) fn of(gate: Gate<B>) -> Self {
        Self { gate: Arc::new(gate) }
    }

    /// Returns the backend. Its limits have the indices of the policies.
    pub fn backend(&self) -> &B {
        &self.gate.backend
    }
}

impl<S, B> Layer<S> for RateLimitLayer<B> {
    type Service = RateLimit<S, B>;

    fn layer(&self, service: S) -> Self::Service {
        RateLimit::new(service, Arc::clone(&self.gate))
    }
}

impl<B> Clone for RateLimitLayer<B> {
    fn clone(&self) -> Self {
        Self { gate: Arc::clone(&self.gate) }
    }
}

impl<B> fmt::Debug for RateLimitLayer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policies = self.gate.limits.iter().map(|limited| limited.name.as_str());
        f.debug_struct("RateLimitLayer")
            .field("policies", &policies.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
