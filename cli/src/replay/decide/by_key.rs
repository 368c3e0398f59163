//! The requests of each key.

use super::super::traffic::Traffic;
use crate::failure::Failure;

/// The places of the requests in the traffic, key by key, those of a key in the order of their
/// times.
#[derive(Debug)]
pub(crate) struct ByKey {
    places: Vec<u32>,
    /// Where each key ends in `places`.
    ends: Vec<u32>,
}

impl ByKey {
    /// Sorts the requests by key, in two passes: four bytes a request and four a key.
    ///
    /// # Errors
    ///
    /// Fails for 2^32 requests or more.
    pub(super) fn new(traffic: &Traffic) -> Result<Self, Failure> {
        let requests = &traffic.requests;
        let Ok(count) = u32::try_from(requests.len()) else {
            return Err(Failure::new("the input", "more than 4,294,967,295 requests"));
        };
        let mut ends = vec![0_u32; traffic.keys.len()];
        for request in requests {
            ends[request.key as usize] += 1;
        }
        // A key begins where the key before it ends.
        let mut begin = 0;
        for end in &mut ends {
            begin += std::mem::replace(end, begin);
        }
        let mut places = vec![0; requests.len()];
        for (place, request) in (0..count).zip(requests) {
            let end = &mut ends[request.key as usize];
            places[*end as usize] = place;
            *end += 1;
        }
        Ok(Self { places, ends })
    }

    /// Returns the numbers of all keys.
    pub(crate) fn keys(&self) -> std::ops::Range<u32> {
        0..self.ends.len() as u32
    }

    /// Returns the places of a key's requests.
    #[inline]
    pub(crate) fn of(&self, key: u32) -> &[u32] {
        let begin = key.checked_sub(1).map_or(0, |before| self.ends[before as usize]);
        &self.places[begin as usize..self.ends[key as usize] as usize]
    }

    /// Returns whether any key has several requests of one time.
    pub(super) fn any_shares_a_tick(&self, traffic: &Traffic) -> bool {
        let time = |place: u32| traffic.requests[place as usize].time;
        let shares = |key| self.of(key).windows(2).any(|pair| time(pair[0]) == time(pair[1]));
        self.keys().any(shares)
    }
}
