//! Requests over time, in fewer columns.

use crate::replay::outcome::Timeline;

impl Timeline {
    /// Returns the number of columns.
    pub(super) fn len(&self) -> usize {
        self.admitted.len().max(self.denied.len())
    }

    /// Returns what was admitted and what was denied in each column.
    pub(super) fn columns(&self) -> impl Iterator<Item = (u64, u64)> {
        (0..self.len()).map(|place| {
            let at = |counts: &[u64]| counts.get(place).copied().unwrap_or(0);
            (at(&self.admitted), at(&self.denied))
        })
    }

    /// Returns the most requests of a column.
    pub(super) fn highest(&self) -> u64 {
        self.columns().map(|(admitted, denied)| admitted.saturating_add(denied)).max().unwrap_or(0)
    }

    /// Returns the same requests in at most `most` columns, each of them as wide as several.
    pub(super) fn narrowed(&self, most: usize) -> Self {
        let several = self.len().div_ceil(most).max(1);
        let narrow =
            |counts: &[u64]| counts.chunks(several).map(|chunk| chunk.iter().sum()).collect();
        Self {
            width_nanos: self.width_nanos.saturating_mul(several as u64),
            admitted: narrow(&self.admitted),
            denied: narrow(&self.denied),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::replay::outcome::Timeline;

    #[test]
    fn narrowing_loses_no_request() {
        let timeline = Timeline {
            width_nanos: 10,
            admitted: vec![1, 2, 3, 4, 5],
            denied: vec![0, 0, 7, 0, 1],
        };
        let narrow = timeline.narrowed(3);
        assert_eq!((narrow.width_nanos, narrow.len()), (20, 3));
        assert_eq!((&*narrow.admitted, &*narrow.denied), (&[3, 7, 5][..], &[0, 7, 1][..]));
        assert_eq!(narrow.highest(), 14);
        assert_eq!(timeline.narrowed(5), timeline);
        assert_eq!(Timeline::default().narrowed(5).len(), 0);
    }
}
