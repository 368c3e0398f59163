//! Tables in a file: which openings are refused, and what the file holds afterwards.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

use std::fs::{File, OpenOptions, Permissions};
use std::io::ErrorKind::PermissionDenied;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use tidegate::shared::{Difference, SharedError, SharedTable, SharedTableBuilder, WhenOther};
use tidegate::{Instant, OnFull, Quota};

const KEYS: usize = 1_000;

fn quota() -> Quota {
    Quota::per_hour(2).unwrap()
}

fn builder() -> SharedTableBuilder {
    SharedTable::builder(&[quota()], KEYS)
}

fn admits(table: &SharedTable, key: &[u8]) -> bool {
    table.check(key, &table.plan(quota()).unwrap()).is_admitted()
}

fn difference(opened: Result<SharedTable, SharedError>) -> Difference {
    match opened {
        Err(SharedError::Differs(difference)) => difference,
        other => panic!("{other:?}"),
    }
}

fn write(path: &Path, word: u64, value: u64) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&value.to_ne_bytes(), 8 * word).unwrap();
}

#[test]
fn what_is_charged_stays_when_all_have_closed_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table");
    let one = builder().open(&path).unwrap();
    assert!(one.is_new());
    let two = builder().open(&path).unwrap();
    assert!(!two.is_new());
    assert!(admits(&one, b"a") && admits(&two, b"a") && !admits(&one, b"a") && !admits(&two, b"a"));
    drop((one, two));
    let three = builder().open(&path).unwrap();
    assert!(
        !three.is_new() && three.mended() == 0 && !admits(&three, b"a") && admits(&three, b"b")
    );
}

#[test]
fn another_table_is_emptied_or_refused_by_choice() {
    for (word, found) in [
        (2, Difference::Version),
        (3, Difference::Version),
        (5, Difference::Boot),
        (7, Difference::Unit),
        (8, Difference::Size),
        (9, Difference::OnFull),
        (10, Difference::Grace),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        assert!(admits(&builder().open(&path).unwrap(), b"a"));
        write(&path, word, 77);
        let refusing = builder().when_other(WhenOther::Refuse).open(&path);
        assert_eq!(difference(refusing), found);
        let table = builder().open(&path).unwrap();
        assert!(table.is_new() && table.lockfree().is_empty(), "{found:?}");
        // Nobody empties it while another has it open.
        assert!(admits(&table, b"a"));
        let other = SharedTable::builder(&[quota()], 2 * KEYS).open(&path);
        assert_eq!(difference(other), Difference::Size);
        assert_eq!(table.lockfree().len(), 1);
    }
}

#[test]
fn a_file_that_is_no_table_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letter");
    for letter in ["Dear all", "D", &"Dear all, ".repeat(1_000), &"\0".repeat(4_096)] {
        std::fs::write(&path, letter).unwrap();
        assert_eq!(difference(builder().open(&path)), Difference::Magic);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), letter);
    }
}

#[test]
fn a_preparation_that_was_broken_off_is_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table");
    drop(builder().open(&path).unwrap());
    let preparing = u64::from_be_bytes(*b"prepares");
    write(&path, 0, preparing);
    assert!(builder().open(&path).unwrap().is_new());
    File::create(&path).unwrap();
    assert!(builder().open(&path).unwrap().is_new());
    File::create(&path).unwrap();
    write(&path, 0, preparing);
    assert!(builder().open(&path).unwrap().is_new());
}

#[test]
fn a_file_that_others_may_write_to_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table");
    drop(builder().open(&path).unwrap());
    let is_refused = |mode| {
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        matches!(builder().open(&path), Err(SharedError::Io(error)) if error.kind() == PermissionDenied)
    };
    assert!(is_refused(0o666) && is_refused(0o620) && is_refused(0o602));
    assert!(!is_refused(0o600) && !is_refused(0o644));
}

#[test]
fn many_that_open_at_once_prepare_it_once() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let path = folder.path().join(round.to_string());
        let new = std::thread::scope(|scope| {
            let open = || builder().open(&path).unwrap();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            let tables: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            assert_eq!(tables.iter().filter(|table| admits(table, b"a")).count(), 2);
            tables.iter().filter(|table| table.is_new()).count()
        });
        assert_eq!(new, 1);
    }
}

#[test]
fn the_words_that_keys_share_are_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table");
    let small = || SharedTable::builder(&[quota()], 1).on_full(OnFull::Shared).open(&path).unwrap();
    let now = Instant::from_secs(1);
    let charge = |table: &SharedTable| {
        let plan = table.plan(quota()).unwrap();
        let keys = 0..2_000_u64;
        keys.filter(|key| table.lockfree().check(key, &plan, now).is_admitted()).count()
    };
    let (one, two) = (small(), small());
    let first = charge(&one);
    // Ten keys have a bucket, and the others share 64 words with two cells each.
    assert!((100..=148).contains(&first), "{first}");
    assert_eq!(two.lockfree().counters(), one.lockfree().counters());
    // Each of the ten has one cell left, the words have none.
    assert!(charge(&two) <= 10);
    assert!(two.lockfree().counters().unplaced > 3_000);
}

#[test]
fn settings_that_cannot_be_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none").join("table");
    assert!(matches!(builder().open(path), Err(SharedError::Io(_))));
    let huge = SharedTable::builder(&[quota()], usize::MAX).grace(Duration::ZERO);
    assert!(matches!(huge.open(folder.path().join("table")), Err(SharedError::Io(_))));
}
