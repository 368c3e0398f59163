//! The builder of a layer.

use std::error::Error;
use std::fmt;

use bytes::Bytes;
use http::Response;
use tidegate::{Clock, Quota};

use crate::backend::{Backend, LimitSpec, MAX_POLICIES};
use crate::denial::Denial;
use crate::error::BuildError;
use crate::exempt::Exempt;
use crate::gate::{Gate, Limited, OnDenied, OnUnavailable};
use crate::head::Head;
use crate::headers::Fields;
use crate::layer::RateLimitLayer;
use crate::local::Local;
use crate::observe::Name;
use crate::policy::Policy;

/// The most classes of a policy.
const MAX_CLASSES: usize = u16::MAX as usize;

/// Builds a [`RateLimitLayer`]: see [`RateLimitLayer::builder`].
#[must_use = "a builder does nothing until it builds"]
pub struct Builder {
    policies: Vec<Policy>,
    exempt: Vec<Exempt>,
    on_denied: Option<OnDenied>,
    on_unavailable: OnUnavailable,
    has_fields: bool,
    has_legacy: bool,
    is_shadow: bool,
}

impl RateLimitLayer {
    /// Creates a layer of one policy, named "default", for the address of each peer.
    ///
    /// # Errors
    ///
    /// If the quota cannot be represented, or there is no memory.
    pub fn new(quota: Quota) -> Result<Self, BuildError> {
        Self::builder().policy(Policy::new("default", quota)).build()
    }

    /// Returns a builder of a layer.
    pub fn builder() -> Builder {
        Builder::new()
    }
}

impl Builder {
    fn new() -> Self {
        Self {
            policies: Vec::new(),
            exempt: Vec::new(),
            on_denied: None,
            on_unavailable: OnUnavailable::default(),
            has_fields: true,
            has_legacy: false,
            is_shadow: false,
        }
    }

    /// Adds a policy. A request is admitted if all policies that are about it admit it. Then each of
    /// them is charged, and otherwise none. There are at most [`MAX_POLICIES`].
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policies.push(policy);
        self
    }

    /// Exempts requests from all policies.
    pub fn exempt(mut self, exempt: Exempt) -> Self {
        self.exempt.push(exempt);
        self
    }

    /// Sets what makes the response to a request that was denied. [`Denial::response`] by default.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::{Response, StatusCode};
    /// use tidegate::Quota;
    /// use tidegate_tower::{Policy, Reason, RateLimitLayer};
    ///
    /// let layer = RateLimitLayer::builder()
    ///     .policy(Policy::new("clients", Quota::per_minute(60)?))
    ///     .on_denied(|denial, head| {
    ///         if denial.reason() != Reason::Quota || !head.path().starts_with("/pages/") {
    ///             return denial.response();
    ///         }
    ///         let mut page = Response::new(Bytes::from_static(b"Please try again soon."));
    ///         *page.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    ///         page
    ///     })
    ///     .build()?;
    /// # let _ = layer;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_denied(
        mut self,
        respond: impl Fn(&Denial<'_>, &Head<'_>) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        self.on_denied = Some(Box::new(respond));
        self
    }

    /// Sets what happens to requests that the backend cannot decide. [`OnUnavailable::Deny`] by
    /// default. [`Local`] decides all.
    pub fn on_unavailable(mut self, policy: OnUnavailable) -> Self {
        self.on_unavailable = policy;
        self
    }

    /// Sets whether responses have the fields `RateLimit` and `RateLimit-Policy`. They do by default,
    /// also those to requests that were admitted.
    pub fn headers(mut self, are_on: bool) -> Self {
        self.has_fields = are_on;
        self
    }

    /// Sets whether responses have the fields `X-RateLimit-Limit`, `X-RateLimit-Remaining` and
    /// `X-RateLimit-Reset`, in seconds from now, of the policy with the least that remains. Off by
    /// default.
    pub fn legacy_headers(mut self, are_on: bool) -> Self {
        self.has_legacy = are_on;
        self
    }

    /// Sets whether all policies are in [shadow mode](Policy::shadow). Off by default.
    pub fn shadow(mut self, is_on: bool) -> Self {
        self.is_shadow = is_on;
        self
    }

    /// Builds the layer, with its buckets in this process.
    ///
    /// # Errors
    ///
    /// If there is no policy or too many, names are not printable ASCII or not different, quotas
    /// cannot be represented or shape, or there is no memory for the buckets.
    pub fn build(self) -> Result<RateLimitLayer, BuildError> {
        self.assemble(Local::new)
    }

    /// Builds the layer, with its buckets in this process and a clock of the caller's.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use tidegate::{ManualClock, Quota};
    /// use tidegate_tower::{Policy, RateLimitLayer};
    ///
    /// let clock = Arc::new(ManualClock::new());
    /// let layer = RateLimitLayer::builder()
    ///     .policy(Policy::new("clients", Quota::per_minute(60)?))
    ///     .build_with_clock(Arc::clone(&clock))?;
    /// # let _ = layer;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Fails as [`build`](Self::build) does.
    pub fn build_with_clock(
        self,
        clock: impl Clock + Send + Sync + 'static,
    ) -> Result<RateLimitLayer, BuildError> {
        self.assemble(|specs| Local::with_clock(specs, clock))
    }

    /// Builds the layer, with the backend that `backend` makes of the policies.
    ///
    /// # Errors
    ///
    /// Fails as [`build`](Self::build) does, and with [`BuildError::Backend`] if `backend` fails.
    pub fn build_with<B, E>(
        self,
        backend: impl FnOnce(&[LimitSpec]) -> Result<B, E>,
    ) -> Result<RateLimitLayer<B>, BuildError>
    where
        B: Backend,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.assemble(|specs| backend(specs).map_err(|error| BuildError::Backend(error.into())))
    }

    fn assemble<B: Backend>(
        self,
        backend: impl FnOnce(&[LimitSpec]) -> Result<B, BuildError>,
    ) -> Result<RateLimitLayer<B>, BuildError> {
        let Self { mut policies, is_shadow, has_fields, has_legacy, .. } = self;
        check(&policies)?;
        let mut fields = Fields::new(has_fields, has_legacy);
        for policy in &mut policies {
            policy.is_shadow |= is_shadow;
            fields.add(&policy.name, &policy.quotas, policy.unit, !policy.is_shadow);
        }
        let specs: Vec<_> = policies.iter().map(spec).collect();
        let backend = backend(&specs)?;
        Ok(RateLimitLayer::of(Gate {
            limits: policies.into_iter().map(limited).collect(),
            exempt: self.exempt.into(),
            fields,
            on_denied: self.on_denied,
            on_unavailable: self.on_unavailable,
            backend,
        }))
    }
}

/// Looks for what no backend could make up for.
fn check(policies: &[Policy]) -> Result<(), BuildError> {
    if policies.is_empty() {
        return Err(BuildError::NoPolicy);
    }
    if policies.len() > MAX_POLICIES {
        return Err(BuildError::TooManyPolicies);
    }
    for (at, Policy { name, quotas, .. }) in policies.iter().enumerate() {
        let is_printable = !name.is_empty() && name.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if !is_printable || policies[..at].iter().any(|other| other.name == *name) {
            return Err(BuildError::Name(name.clone()));
        }
        if quotas.iter().any(|quota| !quota.max_wait().is_zero()) {
            return Err(BuildError::Shaped(name.clone()));
        }
        if quotas.len() > MAX_CLASSES {
            return Err(BuildError::TooManyClasses(name.clone()));
        }
    }
    Ok(())
}

fn spec(policy: &Policy) -> LimitSpec {
    LimitSpec {
        name: policy.name.clone(),
        quotas: policy.quotas.clone(),
        keys: policy.keys,
        on_full: policy.on_full,
        is_shadow: policy.is_shadow,
    }
}

fn limited(policy: Policy) -> Limited {
    Limited {
        name: Name::new(policy.name),
        rule: policy.rule,
        classes: policy.quotas.len(),
        is_shadow: policy.is_shadow,
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("policies", &self.policies)
            .field("exempt", &self.exempt)
            .field("shadow", &self.is_shadow)
            .finish_non_exhaustive()
    }
}
