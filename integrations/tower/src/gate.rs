//! The gate: what all clones of a layer share, and how a request goes through it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;

use crate::backend::{Answer, Ask, Backend, Decided, MAX_POLICIES, Standing, Unavailable};
use crate::denial::{Denial, Reason};
use crate::exempt::Exempt;
use crate::grpc;
use crate::head::Head;
use crate::headers::{Fields, Rendered, add_retry_after};
use crate::key::{Key, NoKey};
use crate::observe::{Name, Outcome};
use crate::policy::{Rule, Served};

/// Makes the response to a request that was denied.
pub(crate) type OnDenied = Box<dyn Fn(&Denial<'_>, &Head<'_>) -> Response<Bytes> + Send + Sync>;

/// What happens to requests that the backend cannot decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnavailable {
    /// They are denied: 503, or `UNAVAILABLE` for gRPC.
    #[default]
    Deny,
    /// They are let through, unlimited and without the `RateLimit` fields.
    Allow,
}

/// What all clones of a layer share.
pub(crate) struct Gate<B> {
    pub(crate) limits: Box<[Limited]>,
    pub(crate) exempt: Box<[Exempt]>,
    pub(crate) fields: Fields,
    pub(crate) on_denied: Option<OnDenied>,
    pub(crate) on_unavailable: OnUnavailable,
    pub(crate) backend: B,
}

/// A policy that the layer has.
pub(crate) struct Limited {
    pub(crate) name: Name,
    pub(crate) rule: Rule,
    pub(crate) classes: usize,
    pub(crate) is_shadow: bool,
}

/// What a request asks of the backend.
pub(crate) struct Asked<'a> {
    asks: [Ask<'a>; MAX_POLICIES],
    len: usize,
}

/// The limit and the class of each ask: what is left of them when the request is on its way.
#[derive(Clone, Copy)]
pub(crate) struct Applied {
    each: [(u8, u16); MAX_POLICIES],
    len: usize,
}

/// What the head of a request says.
pub(crate) enum First {
    /// No policy is about it.
    Through,
    /// It has no key, and the policy at this index denies it for that.
    Keyless(usize),
    /// The backend is to decide.
    Ask,
}

/// What becomes of a request.
pub(crate) enum Verdict {
    Pass(After),
    Deny(Response<Bytes>),
}

/// Settles the estimates of a request.
pub(crate) type Settle = Box<dyn FnOnce(&Served) + Send + Sync>;

/// What is to be done when the response comes.
#[derive(Default)]
pub(crate) struct After {
    pub(crate) fields: Rendered,
    pub(crate) settle: Option<Settle>,
}

impl<B: Backend> Gate<B> {
    /// Finds what the backend is to be asked about a request.
    #[inline]
    pub(crate) fn first<'a>(&self, head: &Head<'a>, asked: &mut Asked<'a>) -> First {
        if self.exempt.iter().any(|exempt| exempt.covers(head)) {
            return First::Through;
        }
        for (limit, limited) in self.limits.iter().enumerate() {
            let Limited { rule, classes, .. } = limited;
            let cost = rule.cost(head);
            if cost == 0 {
                continue;
            }
            let key = match (rule.key().key(head), rule.no_key()) {
                (Some(key), _) => key,
                (None, NoKey::Share) => Key::KEYLESS,
                (None, NoKey::Allow) => continue,
                (None, NoKey::Deny) if limited.is_shadow => {
                    limited.name.decided(Outcome::NoKey);
                    continue;
                }
                (None, NoKey::Deny) => return First::Keyless(limit),
            };
            let class = rule.class(head);
            let class = if class < *classes { class } else { 0 };
            asked.push(Ask { limit, class, key, cost, is_estimate: rule.has_settlement() });
        }
        if asked.len == 0 { First::Through } else { First::Ask }
    }

    /// Denies a request without a key.
    pub(crate) fn keyless(&self, limit: usize, head: &Head<'_>) -> Response<Bytes> {
        let name = &self.limits[limit].name;
        name.decided(Outcome::NoKey);
        self.deny(Reason::NoKey, &[name.as_str()], None, head)
    }

    /// Says what becomes of a request about which the backend has decided.
    pub(crate) fn conclude(
        self: &Arc<Self>,
        applied: Applied,
        decision: Decided<B::Charge>,
        head: &Head<'_>,
    ) -> Verdict {
        let Answer { standings, denied_by, charge } = match decision {
            Ok(answer) => answer,
            Err(Unavailable) => return self.unavailable(applied, head),
        };
        let standings = standings.as_slice();
        self.report(applied, standings, denied_by.is_some());
        let fields = self.fields.render(applied.as_slice(), standings);
        if let Some(by) = denied_by {
            return Verdict::Deny(self.over(applied, standings, by, fields, head));
        }
        let settle = charge.map(|charge| self.settle_later(applied, charge));
        Verdict::Pass(After { fields, settle })
    }

    /// Denies a request for a quota.
    #[cold]
    fn over(
        &self,
        applied: Applied,
        standings: &[Standing],
        by: usize,
        fields: Rendered,
        head: &Head<'_>,
    ) -> Response<Bytes> {
        let (mut names, mut len) = ([""; MAX_POLICIES], 0);
        for (at, &(limit, _)) in applied.as_slice().iter().enumerate() {
            // The one that denied may be one that admits: another request came between.
            if at == by || standings.get(at).is_some_and(|standing| !standing.is_admitted) {
                names[len] = self.limits[usize::from(limit)].name.as_str();
                len += 1;
            }
        }
        let wait = standings.get(by).and_then(|standing| standing.retry_after);
        let mut response = self.deny(Reason::Quota, &names[..len], wait, head);
        fields.add_to(response.headers_mut());
        response
    }

    #[cold]
    fn unavailable(&self, applied: Applied, head: &Head<'_>) -> Verdict {
        for &(limit, _) in applied.as_slice() {
            self.limits[usize::from(limit)].name.decided(Outcome::Unavailable);
        }
        match self.on_unavailable {
            OnUnavailable::Allow => Verdict::Pass(After::default()),
            OnUnavailable::Deny => Verdict::Deny(self.deny(Reason::Unavailable, &[], None, head)),
        }
    }

    fn deny(
        &self,
        reason: Reason,
        policies: &[&str],
        retry_after: Option<Duration>,
        head: &Head<'_>,
    ) -> Response<Bytes> {
        let is_grpc = grpc::is_grpc(head.headers());
        let denial = Denial { reason, policies, retry_after, is_grpc };
        let mut response = match &self.on_denied {
            Some(respond) => respond(&denial, head),
            None => denial.response(),
        };
        if let Some(wait) = retry_after {
            add_retry_after(response.headers_mut(), wait);
        }
        response
    }

    fn report(&self, applied: Applied, standings: &[Standing], is_denied: bool) {
        for (&(limit, _), standing) in applied.as_slice().iter().zip(standings) {
            let name = &self.limits[usize::from(limit)].name;
            match (is_denied, standing.is_admitted) {
                (_, false) => name.decided(Outcome::Denied),
                // It was not charged.
                (true, true) => {}
                (false, true) if standing.is_shadowed => name.decided(Outcome::Shadowed),
                (false, true) => name.decided(Outcome::Admitted),
            }
        }
    }

    /// Makes what settles the estimates of a request when it has been served.
    fn settle_later(self: &Arc<Self>, applied: Applied, charge: B::Charge) -> Settle {
        let gate = Arc::clone(self);
        Box::new(move |served| {
            let (mut used, mut len) = ([0; MAX_POLICIES], 0);
            for &(limit, _) in applied.as_slice() {
                if let Some(cells) = gate.limits[usize::from(limit)].rule.used(served) {
                    used[len] = cells;
                    len += 1;
                }
            }
            gate.backend.settle(charge, &used[..len]);
        })
    }
}

impl<'a> Asked<'a> {
    #[inline]
    pub(crate) fn new() -> Self {
        Self { asks: [const { Ask::NONE }; MAX_POLICIES], len: 0 }
    }

    fn push(&mut self, ask: Ask<'a>) {
        self.asks[self.len] = ask;
        self.len += 1;
    }

    pub(crate) fn as_slice(&self) -> &[Ask<'a>] {
        &self.asks[..self.len]
    }

    /// Returns what outlives the request.
    pub(crate) fn applied(&self) -> Applied {
        let mut applied = Applied { each: [(0, 0); MAX_POLICIES], len: self.len };
        for (each, ask) in applied.each.iter_mut().zip(self.as_slice()) {
            // The builder sees to it that both fit.
            *each = (ask.limit as u8, ask.class as u16);
        }
        applied
    }
}

impl Applied {
    fn as_slice(&self) -> &[(u8, u16)] {
        &self.each[..self.len]
    }
}
