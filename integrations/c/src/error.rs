//! Error codes, and the barrier that no panic crosses.

use core::ffi::{CStr, c_char};

use tidegate_core::QuotaError;

/// What a call returns. Errors are below zero, and leave what was to be written as it was.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The call did what it says. A check: the request is admitted.
    TgOk = 0,
    /// The request is denied, the slot is held, or the lease has ended. The answer of a call that
    /// did what it says.
    TgDenied = 1,
    /// A pointer is null.
    TgNull = -1,
    /// A pointer has not the alignment of what it points to.
    TgMisaligned = -2,
    /// The memory is smaller than the size that is needed.
    TgTooSmall = -3,
    /// The plan is of a table of another unit of time.
    TgWrongUnit = -4,
    /// There are more limits than one call may have.
    TgTooMany = -5,
    /// A setting is none of those that there are.
    TgInvalid = -6,
    /// The quota's rate is 0 cells a period.
    TgZeroRate = -10,
    /// The quota's period is 0.
    TgZeroPeriod = -11,
    /// The quota's burst is 0 cells.
    TgZeroBurst = -12,
    /// The quota's cells, burst, debt or period is 2^63 or more.
    TgTooLarge = -13,
    /// The quota's rate is above 2^63 cells a second.
    TgTooFast = -14,
    /// The quota's burst takes so long to drain that time would overflow within ten years.
    TgHorizon = -15,
    /// In the table's unit of time the quota's rate would be off by more than 1/1024.
    TgCoarse = -16,
    /// There is no memory for this number of keys.
    TgTooManyKeys = -17,
    /// An id is too long, or is not UTF-8.
    TgBadId = -20,
    /// The registry is full.
    TgFull = -21,
    /// The caller has the slot already, and would wait for itself.
    TgReentrant = -22,
    /// The system refused the file of a shared table.
    TgIo = -30,
    /// The file of a shared table holds something else, and was left as it is.
    TgDiffers = -31,
    /// The library has failed, and the call may have done a part. A defect: please report it.
    TgPanicked = -99,
}

impl Error {
    const fn message(code: i32) -> &'static CStr {
        match code {
            0 => c"ok",
            1 => c"denied, held or ended",
            -1 => c"a pointer is null",
            -2 => c"a pointer is misaligned",
            -3 => c"the memory is too small",
            -4 => c"the plan is of a table of another unit of time",
            -5 => c"there are more limits than one call may have",
            -6 => c"a setting is none of those that there are",
            -10 => c"the rate is 0 cells a period",
            -11 => c"the period is 0",
            -12 => c"the burst is 0 cells",
            -13 => c"cells, burst, debt or period (in nanoseconds) are 2^63 or more",
            -14 => c"the rate is above 2^63 cells a second",
            -15 => c"the burst drains too slowly: time would overflow within 10 years",
            -16 => c"in the table's unit of time the rate is off by more than 1/1024",
            -17 => c"there is no memory for this number of keys",
            -20 => c"the id is too long, or is not UTF-8",
            -21 => c"the registry is full",
            -22 => c"the caller has the slot already",
            -30 => c"the system refused the file",
            -31 => c"the file holds something else",
            -99 => c"the library has failed",
            _ => c"no such code",
        }
    }
}

impl From<QuotaError> for Error {
    fn from(error: QuotaError) -> Self {
        match error {
            QuotaError::ZeroRate => Self::TgZeroRate,
            QuotaError::ZeroPeriod => Self::TgZeroPeriod,
            QuotaError::ZeroBurst => Self::TgZeroBurst,
            QuotaError::TooLarge => Self::TgTooLarge,
            QuotaError::TooFast => Self::TgTooFast,
            QuotaError::Horizon => Self::TgHorizon,
            QuotaError::Coarse => Self::TgCoarse,
            QuotaError::TooManyKeys { .. } => Self::TgTooManyKeys,
            _ => Self::TgInvalid,
        }
    }
}

/// Returns a message for a code of `tg_error`, in English, without a full stop. Never null.
#[unsafe(no_mangle)]
pub extern "C" fn tg_error_message(code: i32) -> *const c_char {
    Error::message(code).as_ptr()
}

/// Runs a call, and makes a panic an error. Without std a panic does not return at all.
#[inline(always)]
pub(crate) fn call(f: impl FnOnce() -> Result<Error, Error>) -> Error {
    #[cfg(feature = "std")]
    {
        // What a panic may leave half done is the caller's own memory, and the code says so.
        let f = std::panic::AssertUnwindSafe(f);
        match std::panic::catch_unwind(f) {
            Ok(result) => result.unwrap_or_else(|error| error),
            Err(_) => Error::TgPanicked,
        }
    }
    #[cfg(not(feature = "std"))]
    f().unwrap_or_else(|error| error)
}
