//! Checks of settings.

use std::fmt;
use std::time::Duration;

/// Names the setting that was refused, and says why.
///
/// ```
/// use std::time::Duration;
/// use tidegate::Schedule;
///
/// let refused = Schedule::every(Duration::ZERO).expect_err("a thread that never rests");
/// assert_eq!(refused.field(), "interval");
/// assert_eq!(refused.to_string(), "interval: must be at least 100 microseconds");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    field: &'static str,
    reason: String,
}

impl ConfigError {
    pub(crate) fn new(field: &'static str, reason: impl Into<String>) -> Self {
        Self { field, reason: reason.into() }
    }

    /// Returns the name of the setting.
    pub fn field(&self) -> &'static str {
        self.field
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.reason)
    }
}

impl std::error::Error for ConfigError {}

/// The shortest interval: a thread that slept for less would not sleep at all.
const SHORTEST: Duration = Duration::from_micros(100);

/// The longest interval.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// Checks an interval between two runs.
pub(crate) fn interval(interval: Duration) -> Result<Duration, ConfigError> {
    if interval < SHORTEST {
        return Err(ConfigError::new("interval", "must be at least 100 microseconds"));
    }
    if interval > LONGEST {
        return Err(ConfigError::new("interval", "must be at most 366 days"));
    }
    Ok(interval)
}

/// Checks that a name is not empty, and fits into a line.
pub(crate) fn name(name: &str) -> Result<(), ConfigError> {
    if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
        let reason = "must have 1 to 64 bytes, and no control characters";
        return Err(ConfigError::new("name", reason));
    }
    Ok(())
}
