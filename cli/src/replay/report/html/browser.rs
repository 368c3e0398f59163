//! The page in a browser, where there is one.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::html;
use crate::replay::report::fixture::{HOSTILE, found, outcome, run, tally, two_readings};

/// A page stays this long at most in the browser.
const LONGEST: Duration = Duration::from_secs(60);

/// Loads a page. Returns the document after its script ran, and what the browser said. Returns
/// `None` if there is no browser.
fn loaded(page: &str) -> Option<(String, String)> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("page.html");
    std::fs::write(&path, page).expect("a page");
    let child = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .args(["--no-first-run", "--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg(format!("file://{}", path.display()))
        .env("HOME", folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => panic!("chromium: {error}"),
    };
    // Each pipe has a thread, so that neither fills up.
    let mut outputs = [
        Box::new(child.stdout.take().expect("a pipe")) as Box<dyn Read + Send>,
        Box::new(child.stderr.take().expect("a pipe")),
    ]
    .map(|mut pipe| {
        Some(std::thread::spawn(move || {
            let mut bytes = Vec::new();
            pipe.read_to_end(&mut bytes).expect("the pipe is read");
            String::from_utf8_lossy(&bytes).into_owned()
        }))
    });
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        if begun.elapsed() > LONGEST {
            child.kill().expect("the browser ends");
            panic!("the page takes longer than a minute");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let [document, says] =
        [0, 1].map(|pipe| outputs[pipe].take().expect("a thread").join().expect("text"));
    assert!(status.success(), "{says}");
    Some((document, says))
}

#[test]
fn the_script_runs_and_no_key_does() {
    let mut outcome = outcome();
    let mut hostile = tally(54);
    hostile.top[0].key = HOSTILE.into();
    hostile.top.push(tally(12).top.remove(0));
    outcome.runs = vec![run("60/min, burst 60", vec![hostile]), run(HOSTILE, two_readings())];
    outcome.find = Some(found());
    outcome.files[0].name = HOSTILE.into();
    outcome.warnings = vec![HOSTILE.into()];
    let page = html(&outcome);
    assert!(!page.contains("<button"));
    let Some((document, says)) = loaded(&page) else {
        eprintln!("skipped: no chromium");
        return;
    };
    // The script made the heads buttons, and marked the one that the rows are sorted by.
    assert!(document.contains("aria-sort=\"descending\"><button type=\"button\">denied</button>"));
    assert!(
        document.contains("<title>2 quotas would have denied from 0&nbsp;% to 4.5&nbsp;% of"),
        "{document}"
    );
    assert_eq!((document.matches("<script").count(), document.matches("<img").count()), (1, 0));
    let complaints: Vec<&str> = says.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
}
