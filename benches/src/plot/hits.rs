//! A chart of hits on traces: a line for each trace and room, on it a mark for each cache.

use std::fmt::Write;

use super::{COLOURS, Picture, Row, escaped, style};

const WIDTH: f64 = 760.0;
/// The edges of the field in which the marks are.
const LEFT: f64 = 210.0;
const RIGHT: f64 = 736.0;
const TOP: f64 = 96.0;
/// The distance between two lines.
const LINE: f64 = 17.0;
/// The distance between two names above the field.
const NAME: f64 = 110.0;

/// What the cases begin with that have a place in the chart.
const CASE: &str = "hits ";
/// The sequential model is no rival, and its marks would hide ours.
const MODEL: &str = "model";

/// A trace replayed in caches of one room.
struct Line<'a> {
    label: String,
    /// The hits in a hundred of each cache, ours first, and whether it kept to its room.
    marks: Vec<(&'a str, f64, bool)>,
}

/// Draws the chart, if there are rows for it.
pub(super) fn picture(rows: &[Row]) -> Option<Picture> {
    let lines = lines(rows);
    let first = lines.first()?;
    let bottom = TOP + lines.len() as f64 * LINE;
    let height = bottom + 28.0;
    let title = "cache: hits in 100 requests, on real traces";
    let mut svg = String::new();
    _ = writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">
<title>{title}</title>
<style>{}.hollow{{fill:none;stroke:currentColor;stroke-width:1.5}}</style>
<rect class="paper" width="{WIDTH}" height="{height}"/>
<text class="title" x="16" y="28">{title}</text>
<text x="16" y="48">trace, and room in entries; hollow: the cache held over 2 % more than its room</text>"#,
        style()
    );
    for (at, (name, ..)) in first.marks.iter().enumerate() {
        let x = LEFT + at as f64 * NAME;
        let style = colour(at);
        let name = escaped(name);
        _ = writeln!(
            svg,
            r#"<g class="c{style}"><circle cx="{x}" cy="66" r="{}"/><text x="{}" y="70">{name}</text></g>"#,
            radius(at),
            x + 9.0
        );
    }
    for tick in (0..=100).step_by(20) {
        let x = place(f64::from(tick));
        let y = bottom + 18.0;
        _ = writeln!(svg, r#"<path class="grid" d="M{x:.1} {}V{bottom}"/>"#, TOP - 10.0);
        _ = writeln!(svg, r#"<text class="keys" x="{x:.1}" y="{y}">{tick}</text>"#);
    }
    for (at, line) in lines.iter().enumerate() {
        line.draw(TOP + at as f64 * LINE, &mut svg);
    }
    svg.push_str("</svg>\n");
    Some(Picture { file: "cache-hits-on-traces.svg".to_owned(), svg })
}

fn lines(rows: &[Row]) -> Vec<Line<'_>> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    for row in rows {
        let Some(name) = row.case.strip_prefix(CASE) else { continue };
        let label = format!("{} {}", name, row.keys);
        if lines.last().is_none_or(|line| line.label != label) {
            lines.push(Line { label, marks: vec![("tidegate", row.ours_ns, true)] });
        }
        if row.rival != MODEL
            && let Some(line) = lines.last_mut()
        {
            line.marks.push((&row.rival, row.rival_ns, row.ratio.is_some()));
        }
    }
    lines
}

impl Line<'_> {
    /// Draws the line, ours last and so on top.
    fn draw(&self, y: f64, svg: &mut String) {
        let label = escaped(&self.label);
        let (x, low) = (LEFT - 12.0, y + 4.0);
        _ = writeln!(svg, r#"<text class="time" x="{x}" y="{low}">{label}</text>"#);
        _ = writeln!(svg, r#"<path class="grid" d="M{LEFT} {y}H{RIGHT}"/>"#);
        for (at, (name, hits, keeps_room)) in self.marks.iter().enumerate().rev() {
            let (style, x, radius) = (colour(at), place(*hits), radius(at));
            let class = if *keeps_room { "" } else { r#" class="hollow""# };
            let title = escaped(name);
            _ = writeln!(
                svg,
                r#"<g class="c{style}"><title>{title} {hits:.1}</title><circle{class} cx="{x:.1}" cy="{y}" r="{radius}"/></g>"#
            );
        }
    }
}

fn place(hits: f64) -> f64 {
    LEFT + hits / 100.0 * (RIGHT - LEFT)
}

/// The number of a cache's colour.
fn colour(at: usize) -> usize {
    if at == 0 { 0 } else { 1 + (at - 1) % (COLOURS.len() - 1) }
}

fn radius(at: usize) -> f64 {
    if at == 0 { 5.0 } else { 3.5 }
}
