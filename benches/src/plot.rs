//! Charts of a report's rows: the time an operation over the number of keys, and hits on traces.
//!
//! In a chart of times both axes are logarithmic, and each contestant has a line with its name at
//! the end. The colours follow the reader's theme, light or dark, by a style sheet inside the
//! picture.

mod hits;

use std::fmt::Write;

use serde::Deserialize;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 440.0;
/// The edges of the field in which the lines are.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 590.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 384.0;
/// The distance between two names at the ends of lines.
const NAME_HEIGHT: f64 = 17.0;

/// The colours of the lines are those of ours first, on light and on dark backgrounds.
const COLOURS: [(&str, &str); 7] = [
    ("#0b5fa5", "#58a6ff"),
    ("#c2410c", "#fb923c"),
    ("#15803d", "#4ade80"),
    ("#7e22ce", "#c084fc"),
    ("#a16207", "#facc15"),
    ("#be185d", "#f472b6"),
    ("#57606a", "#9ca3af"),
];
/// The gaps of the lines: colours alone would not tell them apart for every reader.
const DASHES: [&str; 7] = ["none", "7 3", "2 3", "9 3 2 3", "4 4", "12 4", "6 2 2 2 2 2"];

/// A picture, and the name of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// The name of the file: the part of the library, the case and the threads.
    pub file: String,
    /// The picture as SVG.
    pub svg: String,
}

/// Draws a picture of each case in `rows`, the JSON that a report writes, and one of all hits on
/// traces.
///
/// Leaves out other rows that are no times, and cases with only one number of keys.
///
/// # Errors
///
/// If `rows` is not what a report writes.
pub fn pictures(rows: &str) -> Result<Vec<Picture>, serde_json::Error> {
    let rows: Vec<Row> = serde_json::from_str(rows)?;
    let hits = hits::picture(&rows);
    let times = charts(rows);
    let times = times.iter().map(|chart| Picture { file: chart.file(), svg: chart.svg() });
    Ok(times.chain(hits).collect())
}

/// A row as it is read back.
#[derive(Deserialize)]
struct Row {
    bench: String,
    case: String,
    keys: usize,
    threads: usize,
    ours_ns: f64,
    rival: String,
    rival_ns: f64,
    /// None for a rival that is shown but not compared.
    ratio: Option<f64>,
    unit: Option<String>,
}

/// A case with everyone's times.
struct Chart {
    bench: String,
    case: String,
    threads: usize,
    lines: Vec<Line>,
}

/// A contestant's times by the number of keys, the fewest first.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

fn charts(rows: Vec<Row>) -> Vec<Chart> {
    let mut charts: Vec<Chart> = Vec::new();
    for row in rows {
        let is_time = row.unit.is_none() && row.keys > 0 && row.ours_ns > 0.0 && row.rival_ns > 0.0;
        if !is_time {
            continue;
        }
        let is_of = |chart: &Chart| {
            chart.bench == row.bench && chart.case == row.case && chart.threads == row.threads
        };
        let at = charts.iter().position(is_of).unwrap_or_else(|| {
            let Row { bench, case, threads, .. } = &row;
            let (bench, case) = (bench.clone(), case.clone());
            charts.push(Chart { bench, case, threads: *threads, lines: Vec::new() });
            charts.len() - 1
        });
        charts[at].add("tidegate", row.keys, row.ours_ns);
        charts[at].add(&row.rival, row.keys, row.rival_ns);
    }
    charts.retain(|chart| chart.lines.iter().any(|line| line.points.len() > 1));
    charts
}

impl Chart {
    /// Our own time stands in the row of each rival: it counts once.
    fn add(&mut self, name: &str, keys: usize, time: f64) {
        let at = self.lines.iter().position(|line| line.name == name).unwrap_or_else(|| {
            self.lines.push(Line { name: name.to_owned(), points: Vec::new() });
            self.lines.len() - 1
        });
        let (points, keys) = (&mut self.lines[at].points, keys as f64);
        let place = points.partition_point(|&(before, _)| before < keys);
        if points.get(place).is_none_or(|&(there, _)| there > keys) {
            points.insert(place, (keys, time));
        }
    }

    fn file(&self) -> String {
        let words = format!("{} {} {}", self.bench, self.case, threads(self.threads));
        let words = words.split(|char: char| !char.is_ascii_alphanumeric());
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-") + ".svg"
    }

    fn points(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.lines.iter().flat_map(|line| line.points.iter().copied())
    }

    // Writing to a string does not fail.
    fn svg(&self) -> String {
        let mut sizes: Vec<f64> = self.points().map(|(keys, _)| keys).collect();
        sizes.sort_by(f64::total_cmp);
        sizes.dedup();
        let times = ticks(self.points().map(|(_, time)| time));
        let across = Axis::new(&sizes, LEFT + 16.0, RIGHT - 16.0);
        let up = Axis::new(&times, BOTTOM, TOP);

        let mut svg = String::new();
        let title = escaped(&format!("{}: {}, {}", self.bench, self.case, threads(self.threads)));
        _ = writeln!(
            svg,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img">
<title>{title}</title>
<style>{}</style>
<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>
<text class="title" x="{LEFT}" y="28">{title}</text>
<text x="{LEFT}" y="48">nanoseconds an operation: lower is faster</text>"#,
            style()
        );
        for &time in &times {
            let y = up.at(time);
            _ = writeln!(svg, r#"<path class="grid" d="M{LEFT} {y:.1}H{RIGHT}"/>"#);
            let (x, y) = (LEFT - 8.0, y + 4.0);
            _ = writeln!(svg, r#"<text class="time" x="{x}" y="{y:.1}">{time}</text>"#);
        }
        for &keys in &sizes {
            let (x, y) = (across.at(keys), BOTTOM + 20.0);
            _ = writeln!(svg, r#"<path class="grid" d="M{x:.1} {TOP}V{BOTTOM}"/>"#);
            _ = writeln!(svg, r#"<text class="keys" x="{x:.1}" y="{y}">{}</text>"#, short(keys));
        }
        let (x, y) = (f64::midpoint(LEFT, RIGHT), BOTTOM + 42.0);
        _ = writeln!(svg, r#"<text class="keys" x="{x}" y="{y}">keys</text>"#);
        self.draw(&across, &up, &mut svg);
        svg.push_str("</svg>\n");
        svg
    }

    /// Draws the lines, ours last and so on top.
    fn draw(&self, across: &Axis, up: &Axis, svg: &mut String) {
        let ends: Vec<f64> =
            self.lines.iter().map(|line| up.at(line.points[line.points.len() - 1].1)).collect();
        let names = apart(&ends);
        for (at, (line, name)) in self.lines.iter().zip(names).enumerate().rev() {
            let places: Vec<(f64, f64)> =
                line.points.iter().map(|&(keys, time)| (across.at(keys), up.at(time))).collect();
            let style = if at == 0 { 0 } else { 1 + (at - 1) % (COLOURS.len() - 1) };
            let title = escaped(&line.name);
            let list: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            _ = writeln!(svg, r#"<g class="c{style}"><title>{title}</title>"#);
            _ = writeln!(svg, r#"<polyline points="{}"/>"#, list.join(" "));
            for (x, y) in &places {
                _ = writeln!(svg, r#"<circle cx="{x:.1}" cy="{y:.1}" r="3.5"/>"#);
            }
            let (x, y) = places[places.len() - 1];
            let (to, text) = (RIGHT + 8.0, RIGHT + 12.0);
            _ = writeln!(svg, r#"<path class="lead" d="M{x:.1} {y:.1}L{to} {name:.1}"/>"#);
            let name = name + 4.0;
            _ = writeln!(svg, r#"<text x="{text}" y="{name:.1}">{title}</text></g>"#);
        }
    }
}

/// A logarithmic scale: where a value is in the picture.
struct Axis {
    least: f64,
    length: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// Of values from the first to the last, drawn between two places.
    fn new(values: &[f64], from: f64, to: f64) -> Self {
        let (least, most) = (values[0].ln(), values[values.len() - 1].ln());
        Self { least, length: most - least, from, to }
    }

    fn at(&self, value: f64) -> f64 {
        self.from + (value.ln() - self.least) / self.length * (self.to - self.from)
    }
}

/// The numbers 1, 2 and 5 of each power of ten, from the last not above the values to the first not
/// below them. There are at least two.
fn ticks(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let (least, most) = values
        .fold((f64::MAX, 0.0_f64), |(least, most), value| (least.min(value), most.max(value)));
    let all: Vec<f64> = (-3..=12)
        .flat_map(|power| ["1", "2", "5"].map(|digit| format!("{digit}e{power}")))
        .filter_map(|tick| tick.parse().ok())
        .collect();
    let first = all.iter().rposition(|&tick| tick <= least).unwrap_or(0);
    let last = all.iter().position(|&tick| tick >= most).unwrap_or(all.len() - 1);
    let first = first.min(all.len() - 2);
    all[first..=last.max(first + 1)].to_vec()
}

/// The places of the names of lines that end at `ends`: as near as they can be without overlapping.
fn apart(ends: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..ends.len()).collect();
    order.sort_by(|&a, &b| ends[a].total_cmp(&ends[b]));
    let mut places = ends.to_vec();
    let mut free = 0.0;
    for &at in &order {
        places[at] = ends[at].max(free);
        free = places[at] + NAME_HEIGHT;
    }
    let mut free = BOTTOM + NAME_HEIGHT;
    for &at in order.iter().rev() {
        places[at] = places[at].min(free);
        free = places[at] - NAME_HEIGHT;
    }
    places
}

fn style() -> String {
    let mut light = String::new();
    let mut dark = String::new();
    for (at, ((on_light, on_dark), dashes)) in COLOURS.iter().zip(DASHES).enumerate() {
        _ = write!(light, ".c{at}{{color:{on_light}}}.c{at} polyline{{stroke-dasharray:{dashes}}}");
        _ = write!(dark, ".c{at}{{color:{on_dark}}}");
    }
    format!(
        "text{{font:13px sans-serif;fill:#57606a}}.title{{font-size:16px;font-weight:600;fill:#1f2328}}\
         .time{{text-anchor:end}}.keys{{text-anchor:middle}}.paper{{fill:#fff}}\
         path.grid{{stroke:#d0d7de}}path{{stroke:currentColor;fill:none}}path.lead{{stroke-opacity:.5}}\
         polyline{{stroke:currentColor;fill:none;stroke-width:1.8}}circle,g text{{fill:currentColor}}\
         .c0 polyline{{stroke-width:3.5}}.c0 text{{font-weight:600}}{light}\
         @media(prefers-color-scheme:dark){{.paper{{fill:#0d1117}}text{{fill:#9198a1}}\
         .title{{fill:#f0f6fc}}path.grid{{stroke:#30363d}}g text{{fill:currentColor}}{dark}}}"
    )
}

fn threads(count: usize) -> String {
    format!("{count} thread{}", if count == 1 { "" } else { "s" })
}

/// A number of keys with a unit, if it is a whole number of it.
fn short(keys: f64) -> String {
    for (unit, word) in [(1e6, " M"), (1e3, " k")] {
        if keys >= unit && keys % unit == 0.0 {
            return format!("{}{word}", keys / unit);
        }
    }
    keys.to_string()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
