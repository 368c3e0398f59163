//! The state of a domain.

use crossbeam_epoch::Collector;

use super::batch::Batch;
use super::garbage::Garbage;
use super::post::Post;
use super::record::Record;
use super::records::Records;
use super::roll::Roll;
use super::rules::Rules;
use crate::sync::{AtomicU64, TimeWord, TryLock};

/// What the handles of a domain share.
pub(super) struct Inner {
    /// `None` in models that keep what is retired in quarantine.
    pub(super) collector: Option<Collector>,
    pub(super) posts: Roll<Post>,
    pub(super) records: Records,
    pub(super) batch: TryLock<Batch>,
    /// Counts the requests to renew guards that stay.
    pub(super) renewals: AtomicU64,
    /// The latest time the domain was told, for pins that bring none.
    pub(super) now: TimeWord,
    pub(super) garbage: Garbage,
}

impl Inner {
    pub(super) fn new(collector: Option<Collector>, rules: Rules) -> Self {
        Self {
            collector,
            posts: Roll::new(),
            records: Records::new(),
            batch: TryLock::new(Batch::new()),
            renewals: AtomicU64::new(0),
            now: TimeWord::new(0),
            garbage: Garbage::new(rules),
        }
    }

    #[inline(always)]
    pub(super) fn rules(&self) -> &Rules {
        &self.garbage.rules
    }

    /// Records of structures that are gone.
    pub(super) fn closed(&self) -> impl Iterator<Item = &Record> + Clone {
        // Mostly there are none.
        self.garbage
            .has_closed()
            .then(|| self.records.held())
            .into_iter()
            .flatten()
            .filter(|record| record.is_closed())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let mut is_called = false;
        self.garbage.contained(|| is_called = true);
        if !is_called {
            // A destructor has dropped the last handle. Its caller contains what follows.
            self.garbage.rules.contain = None;
        }
        for record in self.records.all() {
            // SAFETY: no clone of the domain is left, and so no worker and no structure.
            unsafe { record.free_all(&self.garbage) };
        }
    }
}
