// Included with `Cache` and `RemovalCause` of either library in scope.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

static SHARED: LazyLock<Cache<String, usize>> = LazyLock::new(|| Cache::new(100));

#[test]
fn a_cache_can_be_a_static() {
    SHARED.insert("four".to_owned(), 4);
    assert_eq!(thread::spawn(|| SHARED.get("four")).join().unwrap(), Some(4));
    assert!(SHARED.contains_key("four") && !SHARED.contains_key("five"));
}

#[test]
fn threads_read_and_update_a_cache() {
    const THREADS: usize = 16;
    const KEYS: usize = 64;

    fn value(key: usize) -> String {
        format!("value {key}")
    }

    let cache = Cache::new(10_000);
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let cache = cache.clone();
            let keys = thread * KEYS..(thread + 1) * KEYS;
            thread::spawn(move || {
                for key in keys.clone() {
                    cache.insert(key, value(key));
                    assert_eq!(cache.get(&key), Some(value(key)));
                }
                for key in keys.step_by(4) {
                    cache.invalidate(&key);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    for key in 0..THREADS * KEYS {
        assert_eq!(cache.get(&key), (key % 4 != 0).then(|| value(key)));
    }
    cache.run_pending_tasks();
    assert_eq!(cache.entry_count(), (THREADS * KEYS * 3 / 4) as u64);
    assert_eq!(cache.iter().filter(|(key, _)| **key < KEYS).count(), KEYS * 3 / 4);
}

#[test]
fn get_with_makes_a_value_once() {
    const BYTES: usize = 10 << 20;

    let made = Arc::new(AtomicU32::new(0));
    let cache = Cache::new(100);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (cache, made) = (cache.clone(), Arc::clone(&made));
            thread::spawn(move || {
                let value = cache.get_with("key", || {
                    made.fetch_add(1, Ordering::Relaxed);
                    Arc::new(vec![0_u8; BYTES])
                });
                assert_eq!(value.len(), BYTES);
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(made.load(Ordering::Relaxed), 1);
    assert!(cache.get("key").is_some());
}

#[test]
fn get_with_takes_a_borrowed_key() {
    let cache: Cache<String, usize> = Cache::new(100);
    assert_eq!(cache.get_with_by_ref("seven", || 7), 7);
    assert_eq!(cache.get_with("seven".to_owned(), || 8), 7);
    assert_eq!(cache.optionally_get_with_by_ref("eight", || None), None);
    let failed: Result<usize, Arc<std::num::ParseIntError>> =
        cache.try_get_with_by_ref("eight", || "8a".parse());
    assert!(failed.is_err());
    assert_eq!(cache.get("eight"), None);
}

#[test]
fn try_get_with_loads_a_value_or_returns_the_error() {
    fn size(path: impl AsRef<Path>) -> io::Result<u64> {
        Ok(fs::metadata(path)?.len())
    }

    let cache = Cache::new(100);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let cache = cache.clone();
            thread::spawn(move || cache.try_get_with("/no such file", || size("/no such file")))
        })
        .collect();
    for thread in threads {
        let error: Arc<io::Error> = thread.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
    assert_eq!(cache.get("/no such file"), None);
    let this = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let size = cache.try_get_with(this, || size(this)).unwrap();
    assert!(size > 0);
    assert_eq!(cache.get(this), Some(size));
}

#[test]
fn optionally_get_with_stores_what_is_there() {
    let cache: Cache<&str, Option<u32>> = Cache::new(100);
    assert_eq!(cache.optionally_get_with("a", || None), None);
    assert!(!cache.contains_key("a"));
    assert_eq!(cache.optionally_get_with("a", || Some(Some(1))), Some(Some(1)));
    assert_eq!(cache.optionally_get_with("a", || None), Some(Some(1)));
}

#[test]
fn a_value_expires() {
    let cache = Cache::builder().time_to_live(Duration::from_secs(1)).build();
    cache.insert(0, "zero");
    assert_eq!(cache.get(&0), Some("zero"));
    thread::sleep(Duration::from_millis(1_100));
    assert_eq!(cache.get(&0), None);
    assert!(!cache.contains_key(&0));
    assert_eq!(cache.iter().count(), 0);
}

#[test]
fn a_cache_is_bounded_by_the_number_of_entries() {
    let cache = Cache::builder().max_capacity(100).build();
    (0..1_000).for_each(|key| cache.insert(key, key.to_string()));
    cache.run_pending_tasks();
    assert!(cache.entry_count() <= 100);
    assert_eq!(cache.weighted_size(), cache.entry_count());
}

#[test]
fn a_cache_is_bounded_by_weight() {
    const MEBIBYTE: u64 = 1024 * 1024;

    let cache = Cache::builder()
        .weigher(|_key, value: &String| -> u32 { value.len().try_into().unwrap_or(u32::MAX) })
        .max_capacity(MEBIBYTE)
        .build();
    cache.insert(0, "zero".to_string());
    cache.run_pending_tasks();
    assert_eq!((cache.entry_count(), cache.weighted_size()), (1, 4));
    (1..100).for_each(|key| cache.insert(key, "v".repeat(100_000)));
    cache.run_pending_tasks();
    assert!(cache.weighted_size() <= MEBIBYTE);
    assert!(cache.entry_count() <= 11);
    cache.insert(7, "too large".repeat(MEBIBYTE as usize));
    cache.run_pending_tasks();
    assert_eq!(cache.get(&7), None);
}

#[test]
fn a_listener_removes_the_file_whose_path_has_expired() {
    let folder = tempfile::tempdir().unwrap();
    let removed = Arc::new(Mutex::new(Vec::new()));
    let listener = {
        let removed = Arc::clone(&removed);
        move |user, path: PathBuf, cause| {
            fs::remove_file(path).unwrap();
            removed.lock().unwrap().push((user, cause));
        }
    };
    let files = Cache::builder()
        .max_capacity(100)
        .time_to_live(Duration::from_millis(500))
        .eviction_listener(listener)
        .build();
    let start = Instant::now();
    let path = files.try_get_with("user", || -> io::Result<PathBuf> {
        let path = folder.path().join("user");
        fs::write(&path, "data")?;
        Ok(path)
    });
    let path = path.map_err(|error| error.kind()).unwrap();
    while removed.lock().unwrap().is_empty() {
        assert!(start.elapsed() < Duration::from_secs(20), "the listener is not called");
        thread::sleep(Duration::from_millis(50));
        files.run_pending_tasks();
    }
    assert!(start.elapsed() >= Duration::from_millis(500) && !path.exists());
    assert_eq!(*removed.lock().unwrap(), [(Arc::new("user"), RemovalCause::Expired)]);
}

#[test]
fn a_listener_is_told_why() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = {
        let told = Arc::clone(&told);
        move |key: Arc<u32>, value: &str, cause: RemovalCause| {
            told.lock().unwrap().push((*key, value.to_owned(), cause));
        }
    };
    let cache = Cache::builder().eviction_listener(listener).build();
    cache.insert(1, "one");
    cache.insert(1, "another");
    cache.run_pending_tasks();
    cache.invalidate(&1);
    cache.run_pending_tasks();
    let told = told.lock().unwrap();
    let (one, another) = ("one".to_owned(), "another".to_owned());
    assert_eq!(*told, [(1, one, RemovalCause::Replaced), (1, another, RemovalCause::Explicit)]);
}

#[test]
fn values_are_invalidated() {
    let cache = Cache::new(100);
    (0..10).for_each(|key| cache.insert(key, key));
    cache.invalidate(&0);
    cache.invalidate(&77);
    assert_eq!((cache.get(&0), cache.remove(&1), cache.remove(&1)), (None, Some(1), None));
    cache.invalidate_all();
    assert!((0..10).all(|key| cache.get(&key).is_none()));
    cache.run_pending_tasks();
    assert_eq!(cache.entry_count(), 0);
    cache.insert(2, 2);
    assert_eq!(cache.get(&2), Some(2));
}

#[test]
fn a_cache_says_what_it_was_built_with() {
    let ttl = Duration::from_secs(60);
    let builder = Cache::builder().name("pages").max_capacity(100).time_to_live(ttl);
    let cache: Cache<u32, u32> = builder.build();
    let policy = cache.policy();
    assert_eq!((policy.max_capacity(), policy.time_to_live()), (Some(100), Some(ttl)));
    assert_eq!(cache.name(), Some("pages"));
    let cache: Cache<u32, u32> = Cache::builder().build();
    assert_eq!((cache.policy().max_capacity(), cache.name()), (None, None));
}
