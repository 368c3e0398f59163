//! Keys by number.

/// How many lists there are.
pub(crate) const LISTS: usize = 64;
/// The bits of an [`Address`] that tell the place within a list.
const PLACE_BITS: u32 = u32::BITS - LISTS.ilog2();

/// Where a key is: `{ list: 6, place: 26 }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address(pub(super) u32);

impl Address {
    /// The most places of a list.
    pub(crate) const MOST_PLACES: usize = (1 << PLACE_BITS) - 1;

    pub(crate) fn new(list: usize, place: u32) -> Self {
        Self((list as u32) << PLACE_BITS | place)
    }

    pub(crate) fn list(self) -> usize {
        (self.0 >> PLACE_BITS) as usize
    }

    pub(crate) fn place(self) -> u32 {
        self.0 & Self::MOST_PLACES as u32
    }
}

/// The keys that were seen, each once. They stay in the lists that they were collected in: to copy
/// them in the order of their numbers would take their memory twice.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    lists: Vec<List>,
    /// Where the key of each number is.
    addresses: Vec<Address>,
}

impl Keys {
    pub(crate) fn new(lists: Vec<List>, addresses: Vec<Address>) -> Self {
        Self { lists, addresses }
    }

    /// Returns the number of keys.
    pub(crate) fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Returns a key as text; bytes that are no UTF-8 are replaced.
    pub(crate) fn get(&self, number: u32) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self.bytes(number))
    }

    /// Returns a key as the log has it.
    pub(crate) fn bytes(&self, number: u32) -> &[u8] {
        let address = self.addresses[number as usize];
        self.lists[address.list()].bytes(address.place())
    }

    /// Adds a key that is not among them.
    #[cfg(test)]
    pub(crate) fn push(&mut self, key: &[u8]) {
        if self.lists.is_empty() {
            self.lists.push(List::default());
        }
        self.addresses.push(Address::new(0, self.lists[0].len() as u32));
        self.lists[0].push(key);
    }
}

/// Keys by their places.
#[derive(Debug, Default)]
pub(crate) struct List {
    bytes: Vec<u8>,
    /// Where each key ends in `bytes`.
    ends: Vec<usize>,
}

impl List {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns the key at `place`.
    pub(crate) fn bytes(&self, place: u32) -> &[u8] {
        let place = place as usize;
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[place]]
    }

    /// Adds a key at the next place.
    pub(crate) fn push(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
    }

    /// Removes all keys, and keeps the memory for others.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}
