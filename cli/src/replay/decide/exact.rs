//! All keys, decided exactly.

use super::super::limit::Limit;
use super::super::outcome::Spread;
use super::Replay;
use super::fates::Fates;
use super::live::Live;
use super::rule::{Buckets, Fate};
use super::visit::each_visit;

impl Replay<'_> {
    /// Decides all requests by one reading of the stamps. Returns their fates, and the most keys
    /// that were live at once.
    pub(super) fn decide(&self, limits: &[Limit], spread: Option<Spread>) -> (Fates, u64) {
        let mut fates = Fates::new(self.traffic.requests.len(), limits.len());
        let mut live = Live::new(self.traffic, &self.first_at);
        let mut buckets = Buckets::new(limits);
        for key in self.by_key.keys() {
            buckets.reset();
            let mut is_live = false;
            each_visit(self.traffic, &self.ticks, spread, self.by_key.of(key), |visit| {
                if is_live && buckets.are_fresh(visit.nanos) {
                    is_live = false;
                    live.end(buckets.fresh_at());
                }
                let fate = buckets.decide(visit);
                if !is_live && visit.cost > 0 && matches!(fate, Fate::Admitted { .. }) {
                    is_live = true;
                    live.begin(visit.place);
                }
                fates.add(visit.place, fate);
            });
            if is_live {
                live.end(buckets.fresh_at());
            }
        }
        (fates, live.peak())
    }
}
