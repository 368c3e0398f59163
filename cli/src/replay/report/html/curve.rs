//! What a search found: a table, and the curves of what was tried.

use std::fmt::Write;

use super::escape::plain;
use super::table::{begin, end, number, share};
use crate::replay::outcome::{Found, FoundPeriod, Outcome};
use crate::replay::report::curve::Scale;
use crate::replay::report::numbers::{grouped, percent, rounded};
use crate::replay::report::phrases::{condition, period as words};

/// The width and height of the picture in its own units. The page stretches it.
const SIZE: f64 = 1_000.0;
/// How many styles of lines the page has.
const STYLES: usize = 4;

pub(super) fn section(outcome: &Outcome, found: &Found, page: &mut String) {
    let at_most = percent(found.at_most);
    // Writing to a string does not fail.
    _ = writeln!(
        page,
        "<section>\n<h2>The smallest quota of each period that denies at most {} of the {}</h2>",
        plain(&at_most),
        plain(&found.of)
    );
    table(outcome, found, page);
    if let Some(scale) = Scale::new(found) {
        picture(found, scale, page);
    }
    page.push_str("</section>\n");
}

fn table(outcome: &Outcome, found: &Found, page: &mut String) {
    let two = found.has_two_readings();
    let mut heads = vec![("quota", false)];
    heads.extend(two.then_some(("reading", false)));
    heads.extend([("denied", true), ("share", true), ("keys denied", true)]);
    begin("Found", &heads, "", page);
    for period in &found.periods {
        match period.cells {
            Some(cells) => rows(outcome, found, period, cells, two, page),
            None => {
                let most = period.curve.last().map_or(0, |&(cells, _)| cells);
                let name = plain(&period.period);
                _ = writeln!(
                    page,
                    "<tr><th scope=\"row\">none per {}</th><td colspan=\"{}\">up to \
                     {}/{name}, the most that was tried</td></tr>",
                    plain(words(&period.period)),
                    heads.len() - 1,
                    grouped(most)
                );
            }
        }
    }
    end(page);
}

fn rows(
    outcome: &Outcome,
    found: &Found,
    period: &FoundPeriod,
    cells: u64,
    two: bool,
    page: &mut String,
) {
    let cells = grouped(cells);
    for (spread, denied, keys_denied) in period.readings() {
        let name = plain(&period.period);
        _ = write!(page, "<tr><th scope=\"row\">{cells}/{name}, burst {cells}</th>");
        if two {
            _ = write!(page, "<td class=\"reading\">{}</td>", spread.map_or("", condition));
        }
        number(denied, &grouped(denied), page);
        match &*found.of {
            "keys" => share(keys_denied, outcome.keys, page),
            _ => share(denied, outcome.requests, page),
        }
        number(keys_denied, &grouped(keys_denied), page);
        page.push_str("</tr>\n");
    }
}

fn picture(found: &Found, scale: Scale, page: &mut String) {
    let across = |share: f64| format!("{:.1}", share * SIZE);
    let down = |share: f64| format!("{:.1}", SIZE - share * SIZE);
    let (x_ticks, y_ticks) = (scale.x_ticks(), scale.y_ticks());
    let widest = y_ticks.iter().map(|tick| tick.1.chars().count()).max().unwrap_or(1);
    _ = write!(
        page,
        "<figure>\n<div class=\"plot\" style=\"--labels:{widest}ch\">\n\
         <svg viewBox=\"0 0 {SIZE} {SIZE}\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"Share denied over cells a period\">\n<path class=\"grid\" d=\""
    );
    for (place, _) in &y_ticks {
        _ = write!(page, "M0 {}H{SIZE}", down(*place));
    }
    for (place, _) in &x_ticks {
        _ = write!(page, "M{} 0V{SIZE}", across(*place));
    }
    let at_most = scale.y(found.at_most);
    _ = writeln!(page, "\"/>\n<path class=\"at-most\" d=\"M0 {}H{SIZE}\"/>", down(at_most));
    for (style, period) in found.periods.iter().enumerate() {
        let points = &period.curve;
        let place = |cells, share| format!("{} {}", across(scale.x(cells)), down(scale.y(share)));
        let line: Vec<String> = points.iter().map(|&(cells, share)| place(cells, share)).collect();
        let style = style % STYLES;
        _ = writeln!(page, "<path class=\"line line-{style}\" d=\"M{}\"/>", line.join("L"));
        for &(cells, share) in points {
            let chosen = if period.cells == Some(cells) { " chosen" } else { "" };
            let name = format!("{}/{}: {}", grouped(cells), period.period, rounded(share));
            _ = writeln!(
                page,
                "<path class=\"dot line-{style}{chosen}\" d=\"M{}h0\"><title>{}</title></path>",
                place(cells, share),
                plain(&name)
            );
        }
    }
    page.push_str("</svg>\n<div class=\"y\" aria-hidden=\"true\">");
    for (place, words) in y_ticks {
        _ = write!(page, "<span style=\"bottom:{:.2}%\">{words}</span>", place * 100.0);
    }
    page.push_str("</div>\n<div class=\"x\" aria-hidden=\"true\">");
    for (place, words) in x_ticks {
        _ = write!(page, "<span style=\"left:{:.2}%\">{words}</span>", place * 100.0);
    }
    page.push_str("</div>\n</div>\n<figcaption>");
    for (style, period) in found.periods.iter().enumerate() {
        let style = style % STYLES;
        let name = plain(words(&period.period));
        _ = write!(
            page,
            "<svg class=\"swatch\" viewBox=\"0 0 20 10\" aria-hidden=\"true\">\
             <path class=\"line line-{style}\" d=\"M0 5H20\"/></svg>{name} "
        );
    }
    _ = write!(
        page,
        "<span class=\"quiet\">Share of the {} denied, over cells a period; the burst equals the \
         cells. The broken line is {}; a large dot is the quota that was found.</span>\
         </figcaption>\n</figure>\n",
        plain(&found.of),
        plain(&percent(found.at_most))
    );
}
