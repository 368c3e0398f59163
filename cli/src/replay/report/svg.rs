//! The outcome as a picture: requests over time, and the curve of a search.

mod curve;
mod timeline;

use std::error::Error;

use plotters::coord::ranged1d::Ranged;
use plotters::prelude::*;

use crate::replay::outcome::Outcome;

const WIDTH: u32 = 960;
const HEIGHT: u32 = 480;
const FONT: &str = "sans-serif";

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn = Result<(), Box<dyn Error>>;

/// Returns the picture: a part for each reading of each quota, and one for the search, below each
/// other.
pub(crate) fn svg(outcome: &Outcome) -> String {
    let mut picture = String::new();
    draw(outcome, &mut picture).expect("memory takes the picture, and no axis is empty");
    picture
}

fn draw(outcome: &Outcome, picture: &mut String) -> Drawn {
    let readings: usize = outcome.runs.iter().map(|run| run.readings.len()).sum();
    let parts = (readings + usize::from(outcome.find.is_some())).max(1);
    let height = HEIGHT.saturating_mul(u32::try_from(parts)?);
    let root = SVGBackend::with_string(picture, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut areas = root.split_evenly((parts, 1)).into_iter();
    for run in &outcome.runs {
        for (tally, area) in run.readings.iter().zip(&mut areas) {
            timeline::draw(outcome, run, tally, &area)?;
        }
    }
    if let (Some(found), Some(area)) = (&outcome.find, areas.next()) {
        curve::draw(found, &area)?;
    }
    root.present()?;
    Ok(())
}

/// Draws the legend of a chart.
fn legend<'a, 'b: 'a, X: Ranged, Y: Ranged>(
    chart: &mut ChartContext<'a, SVGBackend<'b>, Cartesian2d<X, Y>>,
    position: SeriesLabelPosition,
) -> Drawn {
    chart
        .configure_series_labels()
        .position(position)
        .margin(12)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.2))
        .label_font((FONT, 14))
        .draw()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::svg;
    use crate::replay::outcome::{Found, Timeline};
    use crate::replay::report::fixture::{HOSTILE, found, outcome, run, two_readings};
    use crate::shown::is_visible;

    #[test]
    fn each_reading_and_the_search_have_a_part() {
        let mut outcome = outcome();
        outcome.runs.push(run("10/s, burst 10", two_readings()));
        outcome.find = Some(found());
        let picture = svg(&outcome);
        assert!(picture.contains("height=\"1920\""), "four parts");
        for words in [
            "12 (1.0 %) of 1,200 requests denied: 60/min, burst 60, a bucket for each client",
            "54 (4.5 %) of 1,200 requests denied if all at once: 10/s, burst 10",
            "Share of the requests denied, over cells a period",
        ] {
            assert!(picture.contains(words), "{words}");
        }
        outcome.runs.clear();
        assert!(svg(&outcome).contains("height=\"480\""));
    }

    #[test]
    fn what_found_no_slot_is_apart() {
        let mut outcome = outcome();
        assert!(!svg(&outcome).contains("slot"));
        outcome.runs[0].readings[0].no_slot = 300;
        assert!(svg(&outcome).contains("12 denied, 300 without a slot"));
    }

    #[test]
    fn words_are_no_elements() {
        let mut outcome = outcome();
        outcome.key = HOSTILE.into();
        outcome.runs[0].limits = vec![HOSTILE.into()];
        let mut search = found();
        search.periods[0].period = HOSTILE.into();
        outcome.find = Some(search);
        let picture = svg(&outcome);
        assert!(!picture.contains("<script") && picture.contains("&lt;"));
        assert!(picture.chars().all(|char| char == '\n' || is_visible(char)));
    }

    #[test]
    fn extremes_can_be_drawn() {
        let mut outcome = outcome();
        outcome.start_nanos = i64::MAX;
        for timeline in [
            Timeline::default(),
            Timeline { width_nanos: u64::MAX, admitted: vec![u64::MAX; 2], denied: vec![u64::MAX] },
            Timeline { width_nanos: 1, admitted: vec![0], denied: vec![0] },
        ] {
            outcome.runs[0].readings[0].timeline = timeline;
            assert!(svg(&outcome).ends_with("</svg>\n"));
        }
        outcome.runs.clear();
        outcome.find = Some(Found { periods: Vec::new(), ..found() });
        assert!(svg(&outcome).ends_with("</svg>\n"));
    }
}
