//! Keys by number.

/// The keys that were seen, each once. The number of a key is its place.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    bytes: Vec<u8>,
    /// Where each key ends in `bytes`.
    ends: Vec<usize>,
}

impl Keys {
    /// Returns the number of keys.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns a key as text; bytes that are no UTF-8 are replaced.
    pub(crate) fn get(&self, number: u32) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self.bytes(number))
    }

    /// Returns a key as the log has it.
    pub(crate) fn bytes(&self, number: u32) -> &[u8] {
        let number = number as usize;
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[number]]
    }

    /// Makes room for keys of so many bytes in all.
    pub(crate) fn reserve(&mut self, keys: usize, bytes: usize) {
        self.ends.reserve_exact(keys);
        self.bytes.reserve_exact(bytes);
    }

    /// Returns the bytes of all keys.
    pub(crate) fn total_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a key that is not among them.
    pub(crate) fn push(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
    }
}
