//! The share denied over the cells of a quota, a line for each period.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Area, Drawn, FONT, legend};
use crate::replay::outcome::Found;
use crate::replay::report::curve::Scale;
use crate::replay::report::numbers::percent;
use crate::shown::shown;

const COLOURS: [RGBColor; 4] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xc8, 0x52, 0x00),
    RGBColor(0x00, 0x83, 0x5f),
    RGBColor(0xa3, 0x50, 0x8a),
];
const AT_MOST: RGBColor = RGBColor(0xc4, 0x3c, 0x39);
const RULE: RGBColor = RGBColor(0xdd, 0xe3, 0xe7);

pub(super) fn draw(found: &Found, area: &Area<'_>) -> Drawn {
    let Some(scale) = Scale::new(found) else { return Ok(()) };
    let title = format!(
        "Share of the {} denied, over cells a period; the burst equals the cells",
        shown(&found.of, 60)
    );
    // The scale has done the logarithms: both axes are from 0 to 1, and have their ticks drawn by
    // hand.
    let mut chart = ChartBuilder::on(area)
        .caption(title, (FONT, 18))
        .margin(16)
        .margin_right(40)
        .x_label_area_size(32)
        .y_label_area_size(72)
        .build_cartesian_2d(0.0..1.0, 0.0..1.0)?;
    let words = |horizontal, vertical| {
        TextStyle::from((FONT, 13).into_font()).pos(Pos::new(horizontal, vertical))
    };
    let line = |from, to, colour: RGBColor| PathElement::new([from, to], colour.stroke_width(1));
    for (x, text) in scale.x_ticks() {
        chart.draw_series([line((x, 0.0), (x, 1.0), RULE)])?;
        let style = words(HPos::Center, VPos::Top);
        let below = EmptyElement::at((x, 0.0)) + Text::new(text, (0, 8), style);
        chart.plotting_area().draw(&below)?;
    }
    for (y, text) in scale.y_ticks() {
        chart.draw_series([line((0.0, y), (1.0, y), RULE)])?;
        let style = words(HPos::Right, VPos::Center);
        let beside = EmptyElement::at((0.0, y)) + Text::new(text, (-8, 0), style);
        chart.plotting_area().draw(&beside)?;
    }
    let at_most = scale.y(found.at_most);
    chart
        .draw_series([line((0.0, at_most), (1.0, at_most), AT_MOST)])?
        .label(format!("at most {}", percent(found.at_most)))
        .legend(|(x, y)| PathElement::new([(x, y), (x + 14, y)], AT_MOST));
    for (period, &colour) in found.periods.iter().zip(COLOURS.iter().cycle()) {
        let points = &period.curve;
        let place = |&(cells, share): &(u64, f64)| (scale.x(cells), scale.y(share));
        chart
            .draw_series([PathElement::new(
                points.iter().map(place).collect::<Vec<_>>(),
                colour.stroke_width(2),
            )])?
            .label(format!("cells/{}", shown(&period.period, 60)))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], colour.stroke_width(2)));
        chart.draw_series(points.iter().map(|point| {
            let size = if period.cells == Some(point.0) { 5 } else { 2 };
            Circle::new(place(point), size, colour.filled())
        }))?;
    }
    legend(&mut chart, SeriesLabelPosition::UpperRight)
}
