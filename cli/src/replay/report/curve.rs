//! The curve of a search: where its points and ticks are, as shares of the width and the height.

use super::numbers::{grouped, percent};
use crate::replay::outcome::Found;

/// Both axes are logarithmic. A share of 0 lies at the bottom, below the smallest that is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    /// The logarithms of the fewest and the most cells.
    fewest: f64,
    most: f64,
    /// The smallest share that is drawn is 10 to the power of this.
    floor: i32,
}

/// The height of the smallest share above that of 0.
const ABOVE_ZERO: f64 = 0.08;
/// Smaller shares are drawn as 10 to the power of this. One in a billion is seen.
const LOWEST: i32 = -9;
/// The most decades that each have a tick.
const DECADES: i32 = 6;

impl Scale {
    /// Returns the scale for all curves of a search. Returns `None` if they have no point.
    pub(super) fn new(found: &Found) -> Option<Self> {
        let points = || found.periods.iter().flat_map(|period| &period.curve);
        let cells = || points().map(|&(cells, _)| log(cells));
        let fewest = cells().min_by(f64::total_cmp)?;
        let most = cells().max_by(f64::total_cmp)?;
        let shares = points().map(|&(_, share)| share).chain([found.at_most]);
        let smallest = shares.filter(|&share| share > 0.0).fold(0.1, f64::min);
        // Numbers such as 0.001 are not quite what they say.
        let floor = (smallest.log10() + 1e-9).floor() as i32;
        // Ticks, and so the floor, need a decade at least.
        Some(Self { fewest, most: most.max(fewest + 1e-9), floor: floor.clamp(LOWEST, -1) })
    }

    /// Returns where a number of cells lies, from the left.
    pub(super) fn x(self, cells: u64) -> f64 {
        (log(cells) - self.fewest) / (self.most - self.fewest)
    }

    /// Returns where a share lies, from the bottom.
    pub(super) fn y(self, share: f64) -> f64 {
        if share <= 0.0 {
            return 0.0;
        }
        let floor = f64::from(self.floor);
        let above = (share.log10() - floor) / -floor;
        ABOVE_ZERO + above.clamp(0.0, 1.0) * (1.0 - ABOVE_ZERO)
    }

    /// Returns the ticks of the cells, each where it lies and in words.
    pub(super) fn x_ticks(self) -> Vec<(f64, String)> {
        let decades = self.most - self.fewest;
        let factors: &[u64] = if decades < 1.5 { &[1, 2, 5] } else { &[1] };
        let every = if decades > f64::from(DECADES) { 2 } else { 1 };
        (0..20)
            .step_by(every)
            .flat_map(|power| {
                factors.iter().map(move |factor| factor.checked_mul(10_u64.pow(power)))
            })
            .flatten()
            .map(|cells| (self.x(cells), grouped(cells)))
            .filter(|(place, _)| (-1e-9..=1.0 + 1e-9).contains(place))
            .collect()
    }

    /// Returns the ticks of the shares, each where it lies and in words.
    pub(super) fn y_ticks(self) -> Vec<(f64, String)> {
        let every = if -self.floor > DECADES { 2 } else { 1 };
        let decades = (self.floor..=0).rev().step_by(every).map(|power| 10_f64.powi(power));
        decades.chain([0.0]).map(|share| (self.y(share), percent(share))).collect()
    }
}

fn log(cells: u64) -> f64 {
    (cells.max(1) as f64).log10()
}

#[cfg(test)]
mod tests {
    use super::Scale;
    use crate::replay::outcome::Found;
    use crate::replay::report::fixture::found;

    #[test]
    fn decades_are_apart_by_the_same_length() {
        let scale = Scale::new(&found()).expect("points");
        let words =
            |ticks: Vec<(f64, String)>| ticks.into_iter().map(|tick| tick.1).collect::<Vec<_>>();
        assert_eq!(words(scale.x_ticks()), ["1", "10", "100"]);
        // 0.0009 is the smallest.
        assert_eq!(words(scale.y_ticks()), ["100 %", "10 %", "1 %", "0.1 %", "0.01 %", "0 %"]);
        assert!((scale.x(1), scale.x(200), scale.y(1.0), scale.y(0.0)) == (0.0, 1.0, 1.0, 0.0));
        let decade = scale.y(0.1) - scale.y(0.01);
        assert!((decade - (scale.y(0.01) - scale.y(0.001))).abs() < 1e-9);
    }

    #[test]
    fn every_search_has_a_scale_in_bounds() {
        for (points, at_most) in [
            (vec![(1, 0.0)], 0.0),
            (vec![(1, 1.0)], 1.0),
            (vec![(0, f64::MIN_POSITIVE), (u64::MAX, 0.5)], 1e-300),
        ] {
            let mut found = Found { at_most, ..found() };
            found.periods.truncate(1);
            found.periods[0].curve.clone_from(&points);
            let scale = Scale::new(&found).expect("points");
            for (cells, share) in points {
                assert!((0.0..=1.0).contains(&scale.x(cells)));
                assert!((0.0..=1.0).contains(&scale.y(share)));
            }
            assert!((1..=10).contains(&scale.x_ticks().len()), "{:?}", scale.x_ticks());
            assert!((2..=8).contains(&scale.y_ticks().len()), "{:?}", scale.y_ticks());
        }
        let none = Found { periods: Vec::new(), ..found() };
        assert!(Scale::new(&none).is_none());
    }
}
