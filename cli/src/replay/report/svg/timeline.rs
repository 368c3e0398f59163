//! Admitted and denied requests over time.

use plotters::prelude::*;

use super::{Area, Drawn, FONT, legend};
use crate::replay::outcome::{Outcome, Run, Tally};
use crate::replay::report::axis::{counts, times};
use crate::replay::report::numbers::grouped;
use crate::replay::report::phrases::{buckets, condition, counted, limits};
use crate::replay::report::times::{date_and_time, duration};
use crate::shown::shown;

/// The most columns.
const COLUMNS: usize = 160;
/// The most characters of the title.
const TITLE: usize = 120;
const ADMITTED: RGBColor = RGBColor(0x7a, 0xb0, 0xd6);
const DENIED: RGBColor = RGBColor(0xc4, 0x3c, 0x39);

pub(super) fn draw(outcome: &Outcome, run: &Run, tally: &Tally, area: &Area<'_>) -> Drawn {
    let timeline = tally.timeline.narrowed(COLUMNS);
    let width = timeline.width_nanos.max(1);
    let end = width.saturating_mul(timeline.len().max(1) as u64);
    let highest = timeline.highest();
    // The legend needs room above.
    let top = highest.saturating_add(highest / 3).max(1);
    let ticks = times(outcome.start_nanos, end);
    let title = format!(
        "{} of {} denied{}{}: {}, {}",
        tally.denied_of(outcome.requests),
        counted(outcome.requests, "request"),
        if tally.spread.is_some() { " " } else { "" },
        tally.spread.map_or("", condition),
        limits(run),
        buckets(outcome),
    );
    let mut chart = ChartBuilder::on(area)
        .caption(shown(&title, TITLE), (FONT, 18))
        .margin(16)
        .x_label_area_size(48)
        .y_label_area_size(72)
        .build_cartesian_2d(
            (0..end).with_key_points(ticks.iter().map(|&(distance, _)| distance).collect()),
            (0..top).with_key_points(counts(top)),
        )?;
    let label = |distance: &u64| {
        let tick = ticks.iter().find(|tick| tick.0 == *distance);
        tick.map_or_else(String::new, |(_, words)| words.clone())
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .x_label_formatter(&label)
        .x_desc(from(outcome))
        .y_label_formatter(&|&count| grouped(count))
        .y_desc(format!("requests in {}", duration(width)))
        .label_style((FONT, 13))
        .draw()?;
    // The denied requests are stacked on the admitted ones, so that both together are all.
    let columns = || {
        timeline.columns().enumerate().map(|(place, (admitted, denied))| {
            let from = width.saturating_mul(place as u64);
            (from, from.saturating_add(width), admitted, admitted.saturating_add(denied))
        })
    };
    chart
        .draw_series(columns().filter(|&(_, _, admitted, _)| admitted > 0).map(
            |(from, to, admitted, _)| {
                Rectangle::new([(from, 0), (to, admitted)], ADMITTED.filled())
            },
        ))?
        .label(format!("{} admitted", grouped(tally.admitted)))
        .legend(|(x, y)| Rectangle::new([(x, y - 6), (x + 12, y + 6)], ADMITTED.filled()));
    let no_slot = match tally.no_slot {
        0 => String::new(),
        count => format!(", {} without a slot", grouped(count)),
    };
    chart
        .draw_series(columns().filter(|&(_, _, admitted, top)| top > admitted).map(
            |(from, to, admitted, top)| {
                Rectangle::new([(from, admitted), (to, top)], DENIED.filled())
            },
        ))?
        .label(format!("{} denied{no_slot}", grouped(tally.denied)))
        .legend(|(x, y)| Rectangle::new([(x, y - 6), (x + 12, y + 6)], DENIED.filled()));
    legend(&mut chart, SeriesLabelPosition::UpperLeft)
}

/// Returns the words at the axis of the times.
fn from(outcome: &Outcome) -> String {
    match outcome.requests {
        0 => "UTC".to_owned(),
        _ => format!("UTC, from {}", date_and_time(outcome.start_nanos)),
    }
}
