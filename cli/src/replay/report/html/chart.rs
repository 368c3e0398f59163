//! Requests over time, as pictures within the page.

use std::fmt::Write;

use super::escape::plain;
use crate::replay::outcome::{Outcome, Tally, Timeline};
use crate::replay::report::axis::{counts, times};
use crate::replay::report::numbers::grouped;
use crate::replay::report::times::{date_and_time, duration};

/// The columns of the chart of all requests, and of those of one key.
const WIDE: usize = 160;
const NARROW: usize = 60;
/// The height of a picture in its own units. The page stretches it.
const HEIGHT: u64 = 1_000;
/// The least height of what is not 0.
const SEEN: u64 = 8;

/// Draws all requests, with axes.
pub(super) fn whole(outcome: &Outcome, tally: &Tally, page: &mut String) {
    let timeline = tally.timeline.narrowed(WIDE);
    let (columns, highest) = (timeline.len(), timeline.highest().max(1));
    let span = timeline.width_nanos.saturating_mul(columns as u64);
    let rows = counts(highest);
    let widest = rows.iter().map(|&count| grouped(count).len()).max().unwrap_or(1);
    let label = format!(
        "Requests over time: {} admitted, {} denied",
        grouped(tally.admitted),
        grouped(tally.denied + tally.no_slot)
    );
    // Writing to a string does not fail.
    _ = write!(
        page,
        "<figure>\n<div class=\"plot\" style=\"--labels:{widest}ch\">\n\
         <svg viewBox=\"0 0 {columns} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"{}\">\n<path class=\"grid\" d=\"",
        plain(&label)
    );
    for &count in &rows {
        _ = write!(page, "M0 {}H{columns}", HEIGHT - height(count, highest));
    }
    page.push_str("\"/>\n");
    for (place, (admitted, denied)) in timeline.columns().enumerate() {
        if admitted == 0 && denied == 0 {
            continue;
        }
        let (low, high) = heights(admitted, denied, highest);
        let from = outcome
            .start_nanos
            .saturating_add_unsigned(timeline.width_nanos.saturating_mul(place as u64));
        _ = write!(
            page,
            "<g><title>{}: {} admitted, {} denied</title>\
             <path class=\"touch\" d=\"M{place} 0h1v{HEIGHT}h-1z\"/>",
            date_and_time(from),
            grouped(admitted),
            grouped(denied)
        );
        if low > 0 {
            _ = write!(page, "<path class=\"admitted\" d=\"M{place} {HEIGHT}v-{low}h1v{low}z\"/>");
        }
        if high > 0 {
            let bottom = HEIGHT - low;
            _ = write!(page, "<path class=\"denied\" d=\"M{place} {bottom}v-{high}h1v{high}z\"/>");
        }
        page.push_str("</g>\n");
    }
    page.push_str("</svg>\n<div class=\"y\" aria-hidden=\"true\">");
    for &count in &rows {
        let bottom = percent(height(count, highest), HEIGHT);
        _ = write!(page, "<span style=\"bottom:{bottom}\">{}</span>", grouped(count));
    }
    page.push_str("</div>\n<div class=\"x\" aria-hidden=\"true\">");
    for (distance, words) in times(outcome.start_nanos, span) {
        // The last words would leave the page.
        let end = if distance > span / 20 * 19 { " class=\"end\"" } else { "" };
        let left = percent(distance, span.max(1));
        _ = write!(page, "<span{end} style=\"left:{left}\">{words}</span>");
    }
    _ = write!(
        page,
        "</div>\n</div>\n<figcaption><span class=\"swatch admitted\"></span>admitted \
         <span class=\"swatch denied\"></span>denied <span class=\"quiet\">Requests in columns \
         of {}; times are UTC, from {}.</span></figcaption>\n</figure>\n",
        duration(timeline.width_nanos),
        date_and_time(outcome.start_nanos),
    );
}

/// Draws the requests of one key, without axes.
pub(super) fn spark(timeline: &Timeline, page: &mut String) {
    let timeline = timeline.narrowed(NARROW);
    let (columns, highest) = (timeline.len(), timeline.highest().max(1));
    let (mut admitted, mut denied) = (String::new(), String::new());
    for (place, column) in timeline.columns().enumerate() {
        let (low, high) = heights(column.0, column.1, highest);
        if low > 0 {
            _ = write!(admitted, "M{place} {HEIGHT}v-{low}h1v{low}z");
        }
        if high > 0 {
            _ = write!(denied, "M{place} {}v-{high}h1v{high}z", HEIGHT - low);
        }
    }
    _ = write!(
        page,
        "<svg class=\"spark\" viewBox=\"0 0 {columns} {HEIGHT}\" preserveAspectRatio=\"none\" \
         aria-hidden=\"true\"><path class=\"admitted\" d=\"{admitted}\"/>\
         <path class=\"denied\" d=\"{denied}\"/></svg>"
    );
}

/// Returns the heights of the two parts of a column, one on the other. What is not 0 is seen, and
/// both together fit.
fn heights(admitted: u64, denied: u64, highest: u64) -> (u64, u64) {
    let seen = |count| match count {
        0 => 0,
        _ => height(count, highest).max(SEEN),
    };
    let high = seen(denied);
    (seen(admitted).min(HEIGHT - high), high)
}

fn height(count: u64, highest: u64) -> u64 {
    (u128::from(count) * u128::from(HEIGHT) / u128::from(highest)) as u64
}

fn percent(part: u64, whole: u64) -> String {
    format!("{:.2}%", part as f64 / whole as f64 * 100.0)
}

#[cfg(test)]
mod tests {
    use super::{HEIGHT, SEEN, heights, spark};
    use crate::replay::outcome::Timeline;

    #[test]
    fn what_is_not_0_is_seen_and_fits() {
        assert_eq!(heights(0, 0, 10), (0, 0));
        assert_eq!(heights(1, 0, u64::MAX), (SEEN, 0));
        assert_eq!(heights(500, 500, 1_000), (HEIGHT / 2, HEIGHT / 2));
        let (low, high) = heights(1_000_000, 1, 1_000_001);
        assert_eq!((low + high, high), (HEIGHT, SEEN));
    }

    #[test]
    fn a_spark_has_a_path_for_each_kind() {
        let timeline = Timeline { width_nanos: 1, admitted: vec![1, 0, 3], denied: vec![1, 0, 0] };
        let mut page = String::new();
        spark(&timeline, &mut page);
        assert!(
            page.contains("class=\"admitted\" d=\"M0 1000v-333h1v333zM2 1000v-1000h1v1000z\""),
            "{page}"
        );
        assert!(page.contains("class=\"denied\" d=\"M0 667v-333h1v333z\""), "{page}");
    }
}
