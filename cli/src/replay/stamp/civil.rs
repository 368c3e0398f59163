//! Dates and times of day, and the zone that they are of.

use chrono::NaiveDate;

use super::super::entry::Stamp;

/// The rest of a stamp that is being read.
pub(super) struct Text<'a>(pub(super) &'a [u8]);

impl<'a> Text<'a> {
    /// Takes the digits at the beginning, at most `most` of them.
    pub(super) fn digits(&mut self, most: usize) -> &'a [u8] {
        let digits = self.0.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(digits);
        self.0 = rest;
        digits
    }

    /// Reads a number of one to `most` digits.
    pub(super) fn number(&mut self, most: usize) -> Option<u32> {
        let digits = self.digits(most);
        let number = digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
        (!digits.is_empty()).then_some(number)
    }

    /// Reads a byte if it is one of `these`.
    pub(super) fn one_of(&mut self, these: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        these.contains(first).then(|| {
            self.0 = rest;
            *first
        })
    }

    /// Reads `10:05:03`, a fraction if there is one, and the zone up to the end of the text.
    /// Without a zone the time is UTC.
    pub(super) fn time_on(mut self, date: NaiveDate) -> Option<Stamp> {
        let hour = self.number(2)?;
        self.one_of(b":")?;
        let minute = self.number(2)?;
        self.one_of(b":")?;
        let second = self.number(2)?;
        // A leap second is the beginning of the next second, as it is for Unix clocks.
        let leap = i64::from(second == 60);
        let (fraction, places) = match self.one_of(b".,") {
            Some(_) => self.fraction()?,
            None => (0, 0),
        };
        let offset = self.zone()?;
        let time = date.and_hms_opt(hour, minute, second - leap as u32)?.and_utc();
        let seconds = time.timestamp() + leap - offset;
        let nanos = seconds.checked_mul(1_000_000_000)?.checked_add(fraction)?;
        Some(Stamp { nanos, places })
    }

    /// Reads the digits after a point, as nanoseconds and the number of digits, at most nine.
    pub(super) fn fraction(&mut self) -> Option<(i64, u8)> {
        let digits = self.digits(usize::MAX);
        let padded = digits.iter().copied().chain(std::iter::repeat(b'0'));
        let nanos = padded.take(9).fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        (!digits.is_empty()).then_some((nanos, digits.len().min(9) as u8))
    }

    /// Reads `Z`, `+0200`, `+02:00`, `+02` or nothing, as seconds east of UTC.
    fn zone(mut self) -> Option<i64> {
        self.one_of(b" ");
        let offset = match self.one_of(b"+-Zz") {
            Some(sign @ (b'+' | b'-')) => {
                let hours = self.number(2).filter(|&hours| hours < 24)?;
                self.one_of(b":");
                let minutes = if self.0.is_empty() { 0 } else { self.number(2)? };
                let east = i64::from(hours * 3_600 + minutes * 60);
                if minutes > 59 {
                    return None;
                }
                if sign == b'+' { east } else { -east }
            }
            _ => 0,
        };
        self.0.is_empty().then_some(offset)
    }
}
