//! What must hold of a map at rest, for the models.

use super::Map;
use super::node::Entry;
use super::word::Word;
use crate::reclaim::{Guard, Header};
use crate::sync::Ordering;

impl<K: Send + 'static, V: Send + 'static, S> Map<K, V, S> {
    /// Panics if anything that was retired can still be reached from the map. While other threads
    /// change the map, call this in RMW mode only: a stale look at a word would accuse them
    /// falsely.
    pub fn audit(&self, guard: &Guard) {
        let table = self.table(guard);
        let before = table.source(guard);
        for table in core::iter::once(table).chain(before) {
            for index in 0..table.len() {
                // Relaxed: at rest, or by the thread whose own change is looked at.
                let word = Word::<K, V>::new(table.bucket(index).load(Ordering::Relaxed));
                let check = |object: *mut Header| {
                    // SAFETY: nothing is freed in quarantine.
                    let header = unsafe { &*object };
                    // Relaxed: at rest, or by the thread whose own change is looked at. It may have
                    // been replaced since.
                    let still = || table.bucket(index).load(Ordering::Relaxed) == word.0;
                    assert!(!header.is_retired() || !still(), "reached what was retired");
                };
                if let Some(block) = word.as_block() {
                    check(block.as_ptr().cast());
                }
                let mut single = None;
                // SAFETY: nothing is freed in quarantine.
                for item in unsafe { word.items(&mut single) } {
                    check(Entry::header(item.entry));
                    // SAFETY: nothing is freed in quarantine.
                    let entry: &Entry<K, V> = unsafe { item.entry.as_ref() };
                    let is_hash = entry.hash() == item.hash;
                    // Relaxed: at rest, or by the thread whose own change is looked at.
                    let still = || table.bucket(index).load(Ordering::Relaxed) == word.0;
                    assert!(is_hash || !still(), "the hash of an entry in the map");
                }
            }
        }
    }
}
