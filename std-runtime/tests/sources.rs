//! Sources of pressure on machines of every kind: files as Docker, Kubernetes, systemd and LXC lay them out, in
//! both versions of control groups, under `roots`.

#![cfg(target_os = "linux")]

use std::path::PathBuf;
use std::time::Duration;

use tidegate::pressure::{
    Alarm, Cgroup, Measure, Medium, Meminfo, Psi, Reading, Resident, Root, Sample, Source, Stall,
    State, Unknown, Window, any_of, from_fn, max_of, survey,
};

fn root(name: &str) -> Root {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/roots").join(name);
    assert!(path.is_dir(), "{name}");
    Root::at(path)
}

/// A root that a test writes.
struct Written(tempfile::TempDir);

impl Written {
    fn new(files: &[(&str, &str)]) -> Self {
        let written = Self(tempfile::tempdir().expect("a directory"));
        for (path, text) in files {
            written.write(path, text);
        }
        written
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        std::fs::write(path, text).expect("a file");
    }

    fn root(&self) -> Root {
        Root::at(self.0.path())
    }
}

#[test]
fn the_tightest_limit_is_found_wherever_it_is() {
    let cases = [
        ("docker-v2", "/sys/fs/cgroup/memory.max", 289_746_944, 536_870_912),
        ("docker-v2-hostns", ".scope/memory.max", 698_507_264, 805_306_368),
        // The pod, not the container: a sibling uses it.
        ("kubernetes-v2", ".slice/memory.max", 1_074_446_336, 1_342_177_280),
        // memory.high, where memory.max is none.
        ("systemd-slice-v2", "worker.service/memory.high", 373_526_528, 419_430_400),
        ("nested-v2", "outer-middle.slice/memory.max", 443_531_264, 536_870_912),
        ("docker-v1", "/sys/fs/cgroup/memory/memory.limit_in_bytes", 166_682_624, 268_435_456),
        ("kubernetes-v1", "memory.limit_in_bytes", 557_760_512, 671_088_640),
        ("hybrid", "app.service/memory.limit_in_bytes", 231_809_024, 314_572_800),
        // No more than the machine has.
        ("limit-above-ram-v2", "/sys/fs/cgroup/memory.max", 11_283_329_024, 16_690_941_952),
        ("lxc-namespaced-v2", "/sys/fs/cgroup/memory.max", 740_560_896, 1_073_741_824),
        ("lxc-attached-v2", "/sys/fs/cgroup/memory.max", 907_284_480, 1_073_741_824),
        ("octal-mount-v2", "/mnt/my cgroups/jobs/job-17/memory.max", 205_574_144, 268_435_456),
        ("unshared-v2", "memory.max", 596_291_584, 805_306_368),
    ];
    for (name, file, used, total) in cases {
        let sample = Cgroup::new(root(name)).sample();
        assert_eq!(sample.reading, Reading::Known { used, total }, "{name}: {sample:?}");
        assert!(sample.detail.ends_with(file), "{name}: {sample:?}");
        assert_eq!((sample.state(), sample.measure), (State::Available, Measure::Bytes));
    }
}

/// Never 0, and never "no pressure".
#[test]
fn what_has_no_limit_or_cannot_be_read_says_so() {
    let cases = [
        ("host-v2", State::Unsupported, "no limit"),
        ("unlimited-v1", State::Unsupported, "no limit"),
        ("old-kernel", State::Unsupported, "/proc/self/cgroup"),
        ("broken-v2", State::Stale, "not understood"),
    ];
    for (name, state, detail) in cases {
        let sample = Cgroup::new(root(name)).sample();
        assert_eq!(sample.state(), state, "{name}: {sample:?}");
        assert!(sample.detail.contains(detail), "{name}: {sample:?}");
    }
    let nothing = Written::new(&[]);
    for mut source in survey(&nothing.root()) {
        let sample = source.sample();
        assert_eq!(sample.reading.share(), None, "{}: {sample:?}", source.name());
        assert!(!sample.detail.is_empty());
    }
}

#[test]
fn the_machines_memory() {
    let cases = [
        ("host-v2", 4_637_646_848, 16_690_941_952),
        ("nested-v2", 2_574_311_424, 8_329_715_712),
        ("lxc-namespaced-v2", 631_496_704, 1_073_741_824),
    ];
    for (name, used, total) in cases {
        let sample = Meminfo::new(root(name)).sample();
        assert_eq!(sample.reading, Reading::Known { used, total }, "{name}");
    }
    // E-B8: what is free is not what is available; without that, nothing is known.
    let sample = Meminfo::new(root("old-kernel")).sample();
    assert_eq!(sample.state(), State::Unsupported);

    for text in ["", "MemTotal: 0 kB\nMemAvailable: 0 kB\n", "MemTotal: lots kB\n", "MemTotal: 1"] {
        let written = Written::new(&[("proc/meminfo", text)]);
        let sample = Meminfo::new(written.root()).sample();
        assert_eq!(sample.reading.share(), None, "{text:?}");
    }
    let huge = format!("MemTotal: {} kB\nMemAvailable: 1 kB\n", u64::MAX);
    let written = Written::new(&[("proc/meminfo", &huge)]);
    assert_eq!(Meminfo::new(written.root()).sample().state(), State::Stale);
    // More available than there is: nothing is used.
    let written = Written::new(&[("proc/meminfo", "MemTotal: 10 kB\nMemAvailable: 11 kB\n")]);
    assert_eq!(Meminfo::new(written.root()).sample().state(), State::Stale);
}

const MOUNTS: &str = "36 25 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";

fn group(max: &str, current: &str, inactive: &str) -> Written {
    Written::new(&[
        ("proc/meminfo", "MemTotal: 1048576 kB\nMemAvailable: 524288 kB\n"),
        ("proc/self/cgroup", "0::/app\n"),
        ("proc/self/mountinfo", MOUNTS),
        ("sys/fs/cgroup/app/memory.max", max),
        ("sys/fs/cgroup/app/memory.current", current),
        ("sys/fs/cgroup/app/memory.stat", &format!("anon 1\ninactive_file {inactive}\n")),
    ])
}

#[test]
fn limits_are_read_anew_each_time() {
    let written = group("1000\n", "800\n", "100");
    let mut source = Cgroup::new(written.root());
    assert_eq!(source.sample().reading, Reading::Known { used: 700, total: 1_000 });
    written.write("sys/fs/cgroup/app/memory.max", "2000\n");
    assert_eq!(source.sample().reading, Reading::Known { used: 700, total: 2_000 });
    // The process is moved.
    written.write("sys/fs/cgroup/other/memory.max", "5000\n");
    written.write("sys/fs/cgroup/other/memory.current", "50\n");
    written.write("sys/fs/cgroup/other/memory.stat", "inactive_file 0\n");
    written.write("proc/self/cgroup", "0::/other\n");
    assert_eq!(source.sample().reading, Reading::Known { used: 50, total: 5_000 });
    // And its group is gone: what is above it has no limit.
    std::fs::remove_dir_all(written.0.path().join("sys/fs/cgroup/other")).expect("removed");
    assert_eq!(source.sample().state(), State::Unsupported);
}

#[test]
fn garbage_in_any_file_is_no_reading() {
    let cases = [
        ("", "1", "1"),
        ("-1", "1", "1"),
        ("1e3", "1", "1"),
        ("0", "1", "1"),
        ("18446744073709551616", "1", "1"),
        ("1000", "", "1"),
        ("1000", "max", "1"),
        ("1000", "800", ""),
        ("1000", "800", "many"),
        ("1000 2000", "800", "1"),
    ];
    for (max, current, inactive) in cases {
        let sample = Cgroup::new(group(max, current, inactive).root()).sample();
        assert_eq!(sample.state(), State::Stale, "{max:?} {current:?} {inactive:?}: {sample:?}");
    }
    // Not UTF-8, and not even text.
    let written = group("1000", "800", "1");
    let path = written.0.path().join("sys/fs/cgroup/app/memory.current");
    std::fs::write(path, [0xff, 0xfe, 0, 1]).expect("a file");
    assert_eq!(Cgroup::new(written.root()).sample().state(), State::Stale);
    // More inactive than there is, and more used than memory.high allows: both happen.
    let sample = Cgroup::new(group("1000", "800", "900").root()).sample();
    assert_eq!(sample.reading, Reading::Known { used: 0, total: 1_000 });
    let sample = Cgroup::new(group("1000", "1800", "100").root()).sample();
    assert_eq!(sample.reading, Reading::Known { used: 1_700, total: 1_000 });
}

#[test]
fn what_may_not_be_read_is_denied() {
    use std::os::unix::fs::PermissionsExt;
    // SAFETY: takes nothing, and cannot fail.
    if unsafe { libc::geteuid() } == 0 {
        println!("skipped: root may read everything");
        return;
    }
    let written = group("1000", "800", "1");
    let path = written.0.path().join("sys/fs/cgroup/app/memory.current");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o0)).expect("permissions");
    assert_eq!(Cgroup::new(written.root()).sample().state(), State::Denied);
}

#[test]
fn a_hidden_limit_of_version_1_counts() {
    let written = Written::new(&[
        ("proc/meminfo", "MemTotal: 1048576 kB\nMemAvailable: 524288 kB\n"),
        ("proc/self/cgroup", "4:memory:/docker/x\n"),
        (
            "proc/self/mountinfo",
            "36 25 0:30 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
        ),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ("sys/fs/cgroup/memory/memory.usage_in_bytes", "800\n"),
        (
            "sys/fs/cgroup/memory/memory.stat",
            "inactive_file 9\nhierarchical_memory_limit 1000\ntotal_inactive_file 100\n",
        ),
    ]);
    let sample = Cgroup::new(written.root()).sample();
    assert_eq!(sample.reading, Reading::Known { used: 700, total: 1_000 });
}

#[test]
fn stalls_are_parts_of_the_time() {
    let mut psi = Psi::of_machine(root("host-v2"), Stall::Some, Window::TenSeconds);
    let sample = psi.sample();
    assert_eq!(sample.reading, Reading::Known { used: 1_200, total: 1_000_000 });
    assert_eq!(sample.measure, Measure::Share);
    let sample = Psi::of_cgroup(root("docker-v2"), Stall::Full, Window::Minute).sample();
    assert_eq!((sample.state(), sample.measure), (State::Available, Measure::Share));
    for name in ["docker-v1", "old-kernel"] {
        let sample = Psi::of_cgroup(root(name), Stall::Some, Window::TenSeconds).sample();
        assert_eq!(sample.state(), State::Unsupported, "{name}");
    }
}

#[test]
fn the_process_beside_its_budget() {
    let text = "Name:\tapp\nVmRSS:\t    100 kB\n";
    let written = Written::new(&[
        ("proc/self/status", text),
        ("proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 1 kB\n"),
    ]);
    let mut of_machine = Resident::new(written.root(), None);
    assert_eq!(of_machine.sample().reading, Reading::Known { used: 102_400, total: 1_024_000 });
    let mut of_budget = Resident::new(written.root(), Some(50_000));
    assert_eq!(of_budget.sample().reading, Reading::Known { used: 102_400, total: 50_000 });
    assert_eq!(Resident::new(written.root(), Some(0)).sample().state(), State::Stale);
}

fn fixed(name: &str, sample: Sample) -> Box<dyn Source> {
    Box::new(from_fn(name, Medium::Host, move || sample.clone()))
}

#[test]
fn of_several_sources_the_tightest() {
    let sources = |unknown: bool| {
        let mut sources = vec![
            fixed("a", Sample::bytes(50, 100, "")),
            fixed("b", Sample::bytes(8, 10, "")),
            fixed("c", Sample::share(700_000, "")),
        ];
        if unknown {
            sources.push(fixed("d", Sample::unknown(Unknown::Denied, "not for you")));
        }
        sources
    };
    for strict in [false, true] {
        let composed = |sources| if strict { max_of(sources) } else { any_of(sources) };
        let sample = composed(sources(false)).expect("sources").sample();
        assert_eq!(sample.reading, Reading::Known { used: 8, total: 10 });
        assert!(sample.detail.starts_with("b: "));
        // One that is not known may be the tightest: only who asked for any takes another.
        let sample = composed(sources(true)).expect("sources").sample();
        assert_eq!(sample.state(), if strict { State::Denied } else { State::Available });
        let only = composed(vec![fixed("d", Sample::unknown(Unknown::Stale, "gone"))]);
        assert_eq!(only.expect("a source").sample().state(), State::Stale);
        assert_eq!(composed(Vec::new()).expect_err("none").field(), "sources");
    }
    let device = from_fn("gpu", Medium::Device(0), || Sample::bytes(1, 2, ""));
    let mixed = max_of(vec![fixed("a", Sample::bytes(1, 2, "")), Box::new(device)]);
    assert_eq!(mixed.expect_err("two media").field(), "sources");
    assert_eq!(max_of(sources(true)).expect("sources").name(), "max(a, b, c, d)");
}

#[test]
fn alarms_that_cannot_be_say_why() {
    let (waited, window) = (Duration::from_millis(50), Duration::from_secs(2));
    let nothing = Written::new(&[]);
    let refused = Alarm::of_stalls(&nothing.root(), Stall::Some, waited, window);
    assert_eq!(refused.expect_err("no files").why, Unknown::Unsupported);
    assert!(Alarm::of_events(&root("docker-v1")).is_err());
    assert!(Alarm::of_events(&root("old-kernel")).is_err());
    let events = Alarm::of_events(&root("docker-v2")).expect("a file");
    assert!(events.detail().ends_with("memory.events"));
}

/// On the machine that this runs on: whatever there is has a state, and what is known is possible.
#[test]
fn this_machine_says_something_of_everything() {
    for mut source in survey(&Root::system()) {
        let sample = source.sample();
        println!("{}: {} {:?} ({})", source.name(), sample.state(), sample.reading, sample.detail);
        assert_eq!(sample.state() == State::Available, sample.reading.share().is_some());
        assert!(!sample.detail.is_empty());
    }
    let meminfo = Meminfo::new(Root::system()).sample();
    assert_eq!(meminfo.state(), State::Available, "{meminfo:?}");
}
