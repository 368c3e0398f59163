//! What was done, as a table and as JSON.

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::worker::Done;

/// One worker's row.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The worker's number.
    pub worker: usize,
    /// Frames in all.
    pub frames: u64,
    /// Frames that passed.
    pub green: u64,
    /// Frames that passed, and exceed a committed rate.
    pub yellow: u64,
    /// Frames that were dropped.
    pub red: u64,
    /// Frames without an IP packet, which passed.
    pub others: u64,
    /// Bits that passed, green or yellow.
    pub passed_bits: u64,
    /// Millions of frames a second.
    pub millions_a_second: f64,
    /// Nanoseconds of a burst: the median.
    pub burst_p50_ns: u64,
    /// And that which 1 in 10,000 exceeds.
    pub burst_p9999_ns: u64,
    /// And the longest.
    pub burst_max_ns: u64,
}

impl Row {
    /// Makes the row of a worker.
    pub fn new(worker: usize, done: &Done) -> Self {
        Self {
            worker,
            frames: done.frames(),
            green: done.coloured[0].0,
            yellow: done.coloured[1].0,
            red: done.coloured[2].0,
            others: done.others,
            passed_bits: done.coloured[0].1 + done.coloured[1].1,
            millions_a_second: done.frames() as f64 * 1e3 / done.nanos.max(1) as f64,
            burst_p50_ns: done.bursts.value_at_quantile(0.5),
            burst_p9999_ns: done.bursts.value_at_quantile(0.9999),
            burst_max_ns: done.bursts.max(),
        }
    }
}

/// Returns the rows as a table.
pub fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header([
        "worker",
        "frames",
        "green",
        "yellow",
        "red",
        "not IP",
        "M/s",
        "burst p50 ns",
        "p99.99 ns",
        "longest ns",
    ]);
    for row in rows {
        table.add_row([
            row.worker.to_string(),
            row.frames.to_string(),
            row.green.to_string(),
            row.yellow.to_string(),
            row.red.to_string(),
            row.others.to_string(),
            format!("{:.2}", row.millions_a_second),
            row.burst_p50_ns.to_string(),
            row.burst_p9999_ns.to_string(),
            row.burst_max_ns.to_string(),
        ]);
    }
    table.column_iter_mut().for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table.to_string()
}
