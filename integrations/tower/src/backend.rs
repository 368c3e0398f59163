//! Where limits are kept: the trait that a backend implements, and what it is asked and answers.

use std::future::Future;
use std::time::Duration;

use tidegate::{OnFull, Quota};

use crate::key::Key;

/// The most policies of one layer.
pub const MAX_POLICIES: usize = 8;

/// Decides requests over several limits, all or none: [`Local`](crate::Local) in this process.
///
/// A backend that answers at once returns [`Step::Now`], and nothing is boxed or stored. One that has
/// to ask another machine returns [`Step::Later`] with a future of its own type. It must take from the
/// [`Ask`]s what it needs before it returns, because keys borrow from the request.
pub trait Backend: Send + Sync + 'static {
    /// What a backend needs to settle the estimates of a request. Dropping it leaves them charged.
    type Charge: Send + Sync + 'static;

    /// A decision that takes time.
    type Decide: Future<Output = Decided<Self::Charge>> + Send + 'static;

    /// Decides a request: all of `asks` are charged, or none. There is at least one, and no two are of
    /// one limit.
    fn decide(&self, asks: &[Ask<'_>]) -> Step<Self>;

    /// Settles the estimates of a request. `used` has one number of cells for each ask that was an
    /// estimate, in the order of the asks.
    /// Must not block. It is called where the response's body ends, or is dropped.
    fn settle(&self, charge: Self::Charge, used: &[u64]);
}

/// A decision, or the reason why there is none.
pub type Decided<C> = Result<Answer<C>, Unavailable>;

/// A decision, now or later.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a box would cost each request an allocation")]
pub enum Step<B: Backend + ?Sized> {
    /// The decision.
    Now(Decided<B::Charge>),
    /// A future of the decision.
    Later(B::Decide),
}

/// Says that a backend could not decide, for instance because another machine does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable;

/// Describes a policy to the backend that is built for it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LimitSpec {
    /// The name of the policy.
    pub name: String,
    /// The quota of each class.
    pub quotas: Vec<Quota>,
    /// The keys for which there should be room at a time.
    pub keys: usize,
    /// How a new key is answered while there is no room for it.
    pub on_full: OnFull,
    /// Whether the limit decides and counts, but denies nothing: see [`Standing::is_shadowed`].
    pub is_shadow: bool,
}

/// One limit of a request.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// The index of the limit among the [`LimitSpec`]s.
    pub limit: usize,
    /// The index of the class among the limit's quotas.
    pub class: usize,
    /// Whose bucket is to be charged.
    pub key: Key<'a>,
    /// The cells to be charged, at least one.
    pub cost: u64,
    /// Whether the cost is an estimate, which is settled later.
    pub is_estimate: bool,
}

/// A decision about a request.
#[derive(Clone, Debug)]
pub struct Answer<C> {
    /// How each ask stands after the decision, in their order.
    pub standings: Standings,
    /// The index of the ask that denied the request. `None` if the request is admitted.
    pub denied_by: Option<usize>,
    /// What has been charged for estimates, if anything.
    pub charge: Option<C>,
}

/// How each limit of a request stands.
#[derive(Clone, Debug)]
pub struct Standings {
    each: [Standing; MAX_POLICIES],
    len: usize,
}

/// How a limit stands for a key, right after a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether the limit admits the request.
    pub is_admitted: bool,
    /// Whether the limit would have denied the request, and does not because it is in shadow mode.
    pub is_shadowed: bool,
    /// The cells that could be had at once.
    pub remaining: u64,
    /// How long until all cells are there again, if no request comes.
    pub reset_after: Duration,
    /// How long until the limit would admit the request. `None` if it never will.
    pub retry_after: Option<Duration>,
}

impl<'a> Ask<'a> {
    /// Fills an array before it has asks.
    pub(crate) const NONE: Ask<'a> =
        Ask { limit: 0, class: 0, key: Key::GLOBAL, cost: 0, is_estimate: false };
}

impl Standings {
    /// Creates the list of no limit.
    pub const fn new() -> Self {
        const NONE: Standing = Standing {
            is_admitted: false,
            is_shadowed: false,
            remaining: 0,
            reset_after: Duration::ZERO,
            retry_after: None,
        };
        Self { each: [NONE; MAX_POLICIES], len: 0 }
    }

    /// Appends the standing of the next ask.
    ///
    /// # Panics
    ///
    /// If there are [`MAX_POLICIES`] already: a programming error, for no request has more asks.
    pub fn push(&mut self, standing: Standing) {
        self.each[self.len] = standing;
        self.len += 1;
    }

    /// Returns the standings in the order of the asks.
    pub fn as_slice(&self) -> &[Standing] {
        &self.each[..self.len]
    }
}

impl Default for Standings {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Display for Unavailable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the backend of the rate limits could not decide")
    }
}

impl std::error::Error for Unavailable {}
