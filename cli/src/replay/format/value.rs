//! The values of fields.

/// Returns the field, or nothing for the `-` that stands for nothing.
pub(super) fn present(field: &[u8]) -> &[u8] {
    if field == b"-" { b"" } else { field }
}

/// Returns the status of a response, if the field is one.
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

/// Returns the number that the field is, if it has nothing but digits.
pub(super) fn number(field: &[u8]) -> Option<u64> {
    if field.is_empty() {
        return None;
    }
    field.iter().try_fold(0_u64, |sum, &byte| match byte {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

/// Returns the number of digits at the beginning of a text, if it begins with a digit.
pub(super) fn digits(text: &[u8]) -> Option<usize> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (digits > 0).then_some(digits)
}
