//! The header is that of the source, and the library exports what the list says.
#![allow(missing_docs)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Compares a file with what it should be; writes it if `TIDEGATE_WRITE` is set.
fn compare(path: &Path, expected: &str) {
    if std::env::var_os("TIDEGATE_WRITE").is_some() {
        std::fs::write(path, expected).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == expected,
        "{} is out of date: TIDEGATE_WRITE=1 cargo test -p tidegate-c --test header writes it",
        path.display()
    );
}

#[test]
fn the_header_is_that_of_the_source() {
    let config = cbindgen::Config::from_file(folder().join("cbindgen.toml")).unwrap();
    let bindings = cbindgen::Builder::new().with_crate(folder()).with_config(config);
    let mut header = Vec::new();
    bindings.generate().unwrap().write(&mut header);
    compare(&folder().join("include/tidegate.h"), &String::from_utf8(header).unwrap());
}

/// Where cargo has put this package's libraries.
fn target() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().to_owned()
}

#[test]
fn the_library_exports_what_the_list_says() {
    let library = target().join("libtidegate_c.so");
    let listed = match Command::new("nm").args(["-D", "--defined-only"]).arg(&library).output() {
        Ok(listed) if listed.status.success() => listed,
        other => return println!("skipped: nm cannot list {}: {other:?}", library.display()),
    };
    let listed = String::from_utf8(listed.stdout).unwrap();
    let mut names: Vec<_> =
        listed.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    names.sort_unstable();
    names.dedup();
    compare(&folder().join("symbols.txt"), &(names.join("\n") + "\n"));
}
