//! The face's map.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use tidegate::Map;

static SHARED: LazyLock<Map<String, u32>> = LazyLock::new(Map::new);

#[test]
fn it_can_be_a_static_and_takes_borrowed_keys() {
    assert_eq!(SHARED.insert("a".to_owned(), 1), None);
    assert_eq!(SHARED.insert("a".to_owned(), 2), Some(1));
    assert_eq!(SHARED.update("a", |value| value + 1), Some(3));
    assert_eq!(SHARED.get_or_insert_with("a".to_owned(), || 9), 3);
    assert_eq!((SHARED.get("a"), SHARED.get("b")), (Some(3), None));
    assert!(SHARED.contains_key("a") && !SHARED.contains_key("b"));
    assert_eq!(SHARED.remove("a"), Some(3));
    assert!(SHARED.is_empty());
}

#[test]
fn what_is_pinned_is_read_by_reference() {
    let map = Map::new();
    (0..1_000).for_each(|key| _ = map.insert(key, key.to_string()));
    let pinned = map.pin();
    let value = pinned.get(&7).unwrap();
    assert_eq!(pinned.remove(&7).unwrap().map(String::as_str), Some("7"));
    assert_eq!(value, "7", "still there until the pin is dropped");
    assert_eq!(pinned.iter().count(), 999);
    drop(pinned);
    map.retain(|key, _| key % 2 == 0);
    assert_eq!(map.len(), 500);
    let mut keys: Vec<_> = map.iter().map(|(key, _)| key).collect();
    keys.sort_unstable();
    assert_eq!(keys, (0..1_000).step_by(2).collect::<Vec<_>>());
}

#[test]
fn what_is_stale_is_removed_by_itself() {
    let map =
        Map::builder().sweep(Duration::from_millis(1), |_: &u32, stale: &bool| *stale).build();
    let map = map.unwrap();
    (0..100).for_each(|key| _ = map.insert(key, key % 2 == 0));
    let start = Instant::now();
    while map.len() > 50 {
        assert!(start.elapsed() < Duration::from_secs(20), "{} left", map.len());
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(map.iter().all(|(_, stale)| !stale));
    assert!(Map::builder().sweep(Duration::ZERO, |_: &u32, _: &u32| true).build().is_err());
}
