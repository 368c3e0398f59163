//! The picture: admitted and denied requests over time.

use std::path::Path;

use chrono::DateTime;
use plotters::prelude::*;

use super::Outcome;
use super::chart::{columns, duration};
use super::text::grouped;
use crate::failure::Failure;

const SIZE: (u32, u32) = (960, 480);
/// Columns of the picture.
const WIDTH: usize = 160;
const ADMITTED: RGBColor = RGBColor(0x7a, 0xb0, 0xd6);
const DENIED: RGBColor = RGBColor(0xc4, 0x3c, 0x39);

/// Refuses to draw over the log.
pub(crate) fn refuse_to_overwrite(path: &Path, log: Option<&Path>) -> Result<(), Failure> {
    let same = log.is_some_and(|log| match (path.canonicalize(), log.canonicalize()) {
        (Ok(path), Ok(log)) => path == log,
        _ => false,
    });
    if same {
        return Err(Failure::new(format_args!("--svg {}", path.display()), "is the log itself"));
    }
    Ok(())
}

/// Draws the outcome into a file.
pub(crate) fn svg(outcome: &Outcome, path: &Path) -> Result<(), Failure> {
    let mut picture = String::new();
    draw(outcome, &mut picture)
        .map_err(|error| Failure::new(format_args!("--svg {}", path.display()), error))?;
    std::fs::write(path, picture)
        .map_err(|error| Failure::new(format_args!("--svg {}", path.display()), error))
}

fn draw(outcome: &Outcome, picture: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let (columns, width) = columns(outcome, WIDTH);
    let end = columns.len() as u64 * width;
    let highest = columns.iter().map(|column| column.admitted + column.denied).max().unwrap_or(0);
    let root = SVGBackend::with_string(picture, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let title = format!(
        "{} of {} requests denied: {}, burst {}, a bucket for each {}",
        grouped(outcome.denied),
        grouped(outcome.records),
        outcome.quota,
        grouped(outcome.burst),
        outcome.key,
    );
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 20))
        .margin(16)
        .x_label_area_size(48)
        .y_label_area_size(72)
        .build_cartesian_2d(0..end, 0..(highest + highest / 3).max(1))?;
    let format = if end > 2 * 86_400 { "%b %d %H:%M" } else { "%H:%M:%S" };
    let label = |&seconds: &u64| {
        DateTime::from_timestamp(outcome.start.saturating_add_unsigned(seconds), 0)
            .map_or_else(|| seconds.to_string(), |time| time.format(format).to_string())
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .x_labels(7)
        .x_label_formatter(&label)
        .x_desc("UTC")
        .y_label_formatter(&|&count| grouped(count))
        .y_desc(format!("requests in {}", duration(width)))
        .label_style(("sans-serif", 13))
        .draw()?;
    // Stacked: the denied on top of the admitted, together what came.
    let spans = || (0..).map(|column| (column * width, (column + 1) * width)).zip(&columns);
    chart
        .draw_series(spans().filter(|(_, column)| column.admitted > 0).map(
            |((from, to), column)| {
                Rectangle::new([(from, 0), (to, column.admitted)], ADMITTED.filled())
            },
        ))?
        .label(format!("{} admitted", grouped(outcome.admitted)))
        .legend(|(x, y)| Rectangle::new([(x, y - 6), (x + 12, y + 6)], ADMITTED.filled()));
    chart
        .draw_series(spans().filter(|(_, column)| column.denied > 0).map(
            |((from, to), column)| {
                let top = column.admitted + column.denied;
                Rectangle::new([(from, column.admitted), (to, top)], DENIED.filled())
            },
        ))?
        .label(format!("{} denied", grouped(outcome.denied)))
        .legend(|(x, y)| Rectangle::new([(x, y - 6), (x + 12, y + 6)], DENIED.filled()));
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .margin(12)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.2))
        .label_font(("sans-serif", 14))
        .draw()?;
    root.present()?;
    Ok(())
}
