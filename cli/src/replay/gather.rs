//! From blocks of lines to requests in the order of their times.

mod keys;

pub(crate) use self::keys::Keys;
