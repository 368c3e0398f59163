//! Policies: a quota, whose it is, which requests it is about and what they cost.

use std::fmt;

use http::StatusCode;
use tidegate::{OnFull, Quota};

use crate::head::Head;
use crate::key::{self, KeyExtractor, NoKey};
use crate::route::Route;

/// What a request costs, or which class its client has: a function of the head.
type OfHead<T> = Box<dyn Fn(&Head<'_>) -> T + Send + Sync>;
/// What a request has used, known when its response has been sent.
type OfServed = Box<dyn Fn(&Served) -> u64 + Send + Sync>;

/// A limit of a [`RateLimitLayer`](crate::RateLimitLayer): a quota for each key, the requests that it
/// is about, and what they cost.
///
/// The name is what clients see in `RateLimit-Policy`. Every policy has buckets of its own, in memory
/// of fixed size: a key is hashed, and not stored.
///
/// ```
/// use tidegate::Quota;
/// use tidegate_tower::{Policy, Route};
///
/// // Five attempts to log in, and one more every minute. Those that succeed are given back.
/// let logins = Policy::new("logins", Quota::per_minute(1)?.burst(5)?)
///     .only(Route::post("/login"))
///     .settle(|served| u64::from(served.status() == http::StatusCode::UNAUTHORIZED));
///
/// // Ten MiB of uploads a minute, in KiB.
/// let uploads = Policy::new("uploads", Quota::per_minute(10 * 1_024)?)
///     .only(Route::post("/upload"))
///     .cost(|head| head.content_length().unwrap_or(1_024 * 1_024).div_ceil(1_024));
/// # let _ = (logins, uploads);
/// # Ok::<(), tidegate::QuotaError>(())
/// ```
#[must_use = "a policy limits nothing until a layer has it"]
pub struct Policy {
    pub(crate) name: String,
    /// The base quota, then those of the classes.
    pub(crate) quotas: Vec<Quota>,
    pub(crate) keys: usize,
    pub(crate) on_full: OnFull,
    pub(crate) unit: QuotaUnit,
    pub(crate) is_shadow: bool,
    pub(crate) rule: Rule,
}

/// What a policy asks of the head of a request and of what was served.
pub(crate) struct Rule {
    key: Box<dyn KeyExtractor>,
    no_key: NoKey,
    /// The policy is about a request on any of these routes; about all, if there are none.
    routes: Vec<Route>,
    when: Option<OfHead<bool>>,
    class: Option<OfHead<usize>>,
    cost: Option<OfHead<u64>>,
    settle: Option<OfServed>,
}

/// What the cells of a quota are, for the clients: the `qu` parameter of `RateLimit-Policy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QuotaUnit {
    /// Requests. Clients are not told, because it is what they assume.
    #[default]
    Requests,
    /// Bytes of content, of requests or of responses.
    ContentBytes,
}

/// What became of a request: for the settlement of its cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    pub(crate) status: StatusCode,
    pub(crate) body_bytes: u64,
    pub(crate) is_complete: bool,
}

impl Policy {
    /// Creates a policy of `quota` for the address of each peer, with room for 100,000 of them, about
    /// all requests, each of which costs one cell.
    pub fn new(name: impl Into<String>, quota: Quota) -> Self {
        Self {
            name: name.into(),
            quotas: vec![quota],
            keys: 100_000,
            on_full: OnFull::Deny,
            unit: QuotaUnit::default(),
            is_shadow: false,
            rule: Rule {
                key: Box::new(key::peer()),
                no_key: NoKey::default(),
                routes: Vec::new(),
                when: None,
                class: None,
                cost: None,
                settle: None,
            },
        }
    }

    /// Sets whose bucket a request is charged to. That of the [peer's address](key::peer) by default.
    pub fn key(mut self, key: impl KeyExtractor) -> Self {
        self.rule.key = Box::new(key);
        self
    }

    /// Sets what happens to a request without a key. [`NoKey::Deny`] by default.
    pub fn no_key(mut self, policy: NoKey) -> Self {
        self.rule.no_key = policy;
        self
    }

    /// Sets the number of keys for which there is room at a time, approximately. 100,000 by default.
    /// The memory is allocated when the layer is built: about 40 bytes a key.
    pub fn keys(mut self, keys: usize) -> Self {
        self.keys = keys;
        self
    }

    /// Sets how a new key is answered while there is no room for it. [`OnFull::Deny`] by default.
    pub fn on_full(mut self, policy: OnFull) -> Self {
        self.on_full = policy;
        self
    }

    /// Has the policy be about requests on `route` only. Called again, it adds a route.
    pub fn only(mut self, route: Route) -> Self {
        self.rule.routes.push(route);
        self
    }

    /// Has the policy be only about requests for which `applies` returns true.
    pub fn when(mut self, applies: impl Fn(&Head<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.rule.when = Some(Box::new(applies));
        self
    }

    /// Adds a class of clients with a quota of its own. The first call adds class 1; class 0 has the
    /// quota of the policy. [`class_by`](Self::class_by) says which class a request has.
    ///
    /// ```
    /// use tidegate::Quota;
    /// use tidegate_tower::Policy;
    /// use tidegate_tower::key::{self, Key};
    ///
    /// #[derive(Clone)]
    /// struct User {
    ///     id: u64,
    ///     is_paying: bool,
    /// }
    ///
    /// let api = Policy::new("api", Quota::per_minute(60)?)
    ///     .key(key::extension(|user: &User| Key::number(user.id)))
    ///     .class(Quota::per_minute(6_000)?)
    ///     .class_by(|head| usize::from(head.extension::<User>().is_some_and(|user| user.is_paying)));
    /// # let _ = api;
    /// # Ok::<(), tidegate::QuotaError>(())
    /// ```
    pub fn class(mut self, quota: Quota) -> Self {
        self.quotas.push(quota);
        self
    }

    /// Sets how the class of a request is found. A number without a class counts as 0. All requests
    /// of one key should have one class.
    pub fn class_by(mut self, class: impl Fn(&Head<'_>) -> usize + Send + Sync + 'static) -> Self {
        self.rule.class = Some(Box::new(class));
        self
    }

    /// Sets what a request costs, in cells. One by default. The policy is not about a request that
    /// costs nothing. A request that costs more than the burst is always denied.
    pub fn cost(mut self, cost: impl Fn(&Head<'_>) -> u64 + Send + Sync + 'static) -> Self {
        self.rule.cost = Some(Box::new(cost));
        self
    }

    /// Sets what a request has used, in cells, when its response has been sent. Its [cost](Self::cost)
    /// then is an estimate. What was not used is given back as far as is safe: cells flow in whether
    /// or not those charged are used, so an older charge gives less back. What was used on top is
    /// charged, into [debt](Quota::debt) if the quota allows that.
    ///
    /// The estimate stays charged if there is no response: the service failed, the client went away
    /// before it, or `used` panicked.
    ///
    /// ```
    /// use tidegate::Quota;
    /// use tidegate_tower::{Policy, QuotaUnit};
    ///
    /// // A MB of responses a minute: each is assumed to have 4 kB, and may have up to 10 MB.
    /// let quota = Quota::per_minute(1_000_000)?.debt(10_000_000)?;
    /// let downloads = Policy::new("downloads", quota)
    ///     .unit(QuotaUnit::ContentBytes)
    ///     .cost(|_| 4_000)
    ///     .settle(|served| served.body_bytes());
    /// # let _ = downloads;
    /// # Ok::<(), tidegate::QuotaError>(())
    /// ```
    pub fn settle(mut self, used: impl Fn(&Served) -> u64 + Send + Sync + 'static) -> Self {
        self.rule.settle = Some(Box::new(used));
        self
    }

    /// Sets what clients are told that a cell is. [`QuotaUnit::Requests`] by default.
    pub fn unit(mut self, unit: QuotaUnit) -> Self {
        self.unit = unit;
        self
    }

    /// Sets whether the policy is in shadow mode: it decides and counts, and denies nothing. Off by
    /// default. Clients are told nothing of such a policy.
    pub fn shadow(mut self, is_on: bool) -> Self {
        self.is_shadow = is_on;
        self
    }
}

impl Rule {
    /// Returns what a request costs, or 0 if the policy is not about it.
    #[inline]
    pub(crate) fn cost(&self, head: &Head<'_>) -> u64 {
        let is_on_route =
            self.routes.is_empty() || self.routes.iter().any(|route| route.matches(head));
        if !is_on_route || self.when.as_ref().is_some_and(|applies| !applies(head)) {
            return 0;
        }
        self.cost.as_ref().map_or(1, |cost| cost(head))
    }

    /// Returns the class of a request. It may be one that does not exist.
    #[inline]
    pub(crate) fn class(&self, head: &Head<'_>) -> usize {
        self.class.as_ref().map_or(0, |class| class(head))
    }

    #[inline]
    pub(crate) fn key(&self) -> &dyn KeyExtractor {
        &*self.key
    }

    pub(crate) fn no_key(&self) -> NoKey {
        self.no_key
    }

    /// Returns whether the cost is an estimate.
    #[inline]
    pub(crate) fn has_settlement(&self) -> bool {
        self.settle.is_some()
    }

    /// Returns what a request has used; `None` if its cost is no estimate.
    pub(crate) fn used(&self, served: &Served) -> Option<u64> {
        self.settle.as_ref().map(|used| used(served))
    }
}

impl Served {
    /// Returns the status of the response.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the bytes of the response's body that the server has taken from the service, without
    /// trailers.
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Returns whether the body has come to its end. It has not if the client went away, or the body
    /// failed.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("name", &self.name)
            .field("quotas", &self.quotas)
            .field("keys", &self.keys)
            .field("routes", &self.rule.routes)
            .field("shadow", &self.is_shadow)
            .finish_non_exhaustive()
    }
}
