//! The rows of traces side by side: a line for each room, columns for each cache.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};

use super::super::contenders::{Contender, Ours};
use super::Replayed;

/// What the cases of a table begin with, and its heading.
const TABLES: [(&str, &str); 4] = [
    ("hits ", "Hits in 100, and the most entries held (*: over 2 % too many, not compared)"),
    ("objects ", "Sized objects: hits in 100, and the most bytes held (*: over 2 % too many)"),
    ("bytes ", "Sized objects: bytes of hits in 100, and the most bytes held"),
    ("access ", "Nanoseconds an access, which is a get, and an insertion on a miss"),
];

/// Returns the tables of rows that [`run`](super::run) handed over. Each ends with averages over
/// all of its lines, and over those on which a rival held no more than it may.
pub fn tables(rows: &[Replayed]) -> String {
    let of = |(start, heading): (&str, &str)| {
        let lines = lines(rows, start);
        if lines.is_empty() { String::new() } else { format!("{heading}\n{}\n\n", table(&lines)) }
    };
    TABLES.into_iter().map(of).collect()
}

/// The rows of one trace, room and number of threads: one for each rival.
struct Line<'a> {
    name: &'a str,
    rows: Vec<&'a Replayed>,
}

/// Returns the lines of the table of cases that begin with `start`.
fn lines<'a>(rows: &'a [Replayed], start: &str) -> Vec<Line<'a>> {
    let mut lines: Vec<Line<'a>> = Vec::new();
    for replayed in rows {
        let Some(name) = replayed.row.case.strip_prefix(start) else { continue };
        let place = (name, replayed.row.keys, replayed.row.threads);
        match lines.last_mut() {
            Some(line) if line.place() == place => line.rows.push(replayed),
            _ => lines.push(Line { name, rows: vec![replayed] }),
        }
    }
    lines
}

impl Line<'_> {
    fn place(&self) -> (&str, usize, usize) {
        let row = &self.rows[0].row;
        (self.name, row.keys, row.threads)
    }

    /// Returns whether the rival in a column held no more than it may.
    fn compares(&self, rival: usize) -> bool {
        !self.rows[rival].row.ratio.is_nan()
    }

    fn cells(&self) -> Vec<String> {
        let (name, room, threads) = self.place();
        let ours = format!("{:.2}", self.rows[0].row.ours_ns);
        let mut cells = vec![name.to_owned(), room.to_string(), threads.to_string(), ours];
        for (rival, Replayed { row, held }) in self.rows.iter().enumerate() {
            cells.push(format!("{:.2}", row.rival_ns));
            let star = if self.compares(rival) { "" } else { "*" };
            cells.push(match held {
                Some(held) => format!("({held}{star})"),
                None => format!("{:.2}x", row.ratio),
            });
        }
        cells
    }
}

fn table(lines: &[Line<'_>]) -> Table {
    let mut header = vec!["trace", "room", "threads", Ours::NAME];
    for Replayed { row, .. } in &lines[0].rows {
        header.extend([row.rival, ""]);
    }
    let columns = header.len();
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(header);
    table.add_rows(lines.iter().map(Line::cells));
    table.add_row(averages("average".to_owned(), &lines.iter().collect::<Vec<_>>()));
    for (rival, Replayed { row, .. }) in lines[0].rows.iter().enumerate() {
        let compared: Vec<&Line<'_>> = lines.iter().filter(|line| line.compares(rival)).collect();
        if !compared.is_empty() && compared.len() < lines.len() {
            table.add_row(averages(format!("where {} is compared", row.rival), &compared));
        }
    }
    for column in 1..columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// The averages over lines, which have the same columns.
fn averages(name: String, lines: &[&Line<'_>]) -> Vec<String> {
    let average = |of: &dyn Fn(&Line<'_>) -> f64| {
        let sum: f64 = lines.iter().map(|line| of(line)).sum();
        format!("{:.2}", sum / lines.len() as f64)
    };
    let count = format!("of {}", lines.len());
    let mut cells = vec![name, count, String::new(), average(&|line| line.rows[0].row.ours_ns)];
    for at in 0..lines[0].rows.len() {
        cells.extend([average(&|line| line.rows[at].row.rival_ns), String::new()]);
    }
    cells
}
