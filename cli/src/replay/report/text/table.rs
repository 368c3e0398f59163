//! Tables of text.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};

/// On which side the text of a column begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Returns rows in columns, without spaces at the ends of lines. Columns beyond `columns` are to
/// the left.
pub(super) fn table(rows: Vec<Vec<String>>, columns: &[Align]) -> String {
    let mut table = Table::new();
    table.load_preset(NOTHING).add_rows(rows);
    for (place, align) in columns.iter().enumerate() {
        if *align == Align::Right
            && let Some(column) = table.column_mut(place)
        {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = table.trim_fmt();
    text.push('\n');
    text
}
