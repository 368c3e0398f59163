//! Whether what was read can be replayed.

use chrono::DateTime;

use crate::failure::Failure;
use crate::replay::traffic::Traffic;

/// Ten years, in nanoseconds. A longer span comes from a damaged time.
const LONGEST_SPAN: u64 = 315_576_000 * 1_000_000_000;

/// Fails if no line is of a request. If there are requests and none counts, a warning says why:
/// filters leave them out, or they lack what `lacks` names.
pub(super) fn counts(traffic: &mut Traffic, lacks: &str) -> Result<(), Failure> {
    if !traffic.requests.is_empty() {
        return Ok(());
    }
    let name = match &traffic.files[..] {
        [] => "no log".to_owned(),
        [file] => file.name.clone(),
        files => format!("{} logs", files.len()),
    };
    let lines: u64 = traffic.files.iter().map(|file| file.lines).sum();
    let warn = |traffic: &mut Traffic, count, why: &str| {
        let warning = format!("{name}: nothing counts: {count} of {lines} lines {why}");
        traffic.warnings.push(warning);
        Ok(())
    };
    match (traffic.first_skipped.first(), traffic.left_out, traffic.without_key) {
        (Some(first), 0, 0) => {
            let (file, line, reason) = (&first.file, first.line, first.reason);
            let why =
                format!("none of its lines ({lines}) can be used; {file} line {line}: {reason}");
            Err(Failure::new(name, why))
        }
        (None, 0, 0) => Err(Failure::new(name, "nothing to read")),
        (_, 0, lacking) => warn(traffic, lacking, &format!("have no {lacks}")),
        (_, left_out, _) => warn(traffic, left_out, "are filtered out"),
    }
}

/// Fails if the earliest and the latest time of all logs, given for each log, are too far apart.
pub(super) fn span(
    traffic: &Traffic,
    times: impl Iterator<Item = Option<(i64, i64)>>,
) -> Result<(), Failure> {
    let times = traffic.files.iter().zip(times);
    let times = times.filter_map(|(file, times)| times.map(|times| (file, times)));
    let mut first: Option<(i64, &str)> = None;
    let mut last: Option<(i64, &str)> = None;
    for (file, (earliest, latest)) in times {
        if first.is_none_or(|(time, _)| earliest < time) {
            first = Some((earliest, &file.name));
        }
        if last.is_none_or(|(time, _)| latest > time) {
            last = Some((latest, &file.name));
        }
    }
    match first.zip(last) {
        Some(((first, one), (last, other))) if last.abs_diff(first) > LONGEST_SPAN => {
            let reason =
                format!("spans more than 10 years, from {} to {}", date(first), date(last));
            let name = if one == other { one.to_owned() } else { format!("{one} and {other}") };
            Err(Failure::new(name, reason))
        }
        _ => Ok(()),
    }
}

fn date(nanos: i64) -> impl std::fmt::Display {
    DateTime::from_timestamp_nanos(nanos).format("%Y-%m-%d %H:%M:%S UTC")
}
