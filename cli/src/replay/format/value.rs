//! The values of fields.

/// Returns the field, or nothing for the `-` that stands for nothing.
pub(super) fn present(field: &[u8]) -> &[u8] {
    if field == b"-" { b"" } else { field }
}

/// Returns the status of a response.
pub(super) fn status(field: &[u8]) -> Option<u16> {
    match number(field)? {
        status @ 100..=999 => Some(status as u16),
        _ => None,
    }
}

/// Returns the number of bytes that were sent; a `-` is 0.
pub(super) fn bytes(field: &[u8]) -> Option<u64> {
    if field == b"-" { Some(0) } else { number(field) }
}

/// Returns a number of digits only.
pub(super) fn number(field: &[u8]) -> Option<u64> {
    if field.is_empty() {
        return None;
    }
    field.iter().try_fold(0_u64, |sum, &byte| match byte {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}
