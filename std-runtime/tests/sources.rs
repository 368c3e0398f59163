//! Sources of pressure on machines of every kind: files as Docker, Kubernetes, systemd and LXC lay them out, in
//! both versions of control groups, under `roots`.

#![cfg(target_os = "linux")]

use std::path::PathBuf;
use std::time::Duration;

use tidegate::pressure::{
    Alarm, Cgroup, Measure, Medium, Member, Meminfo, Noop, Psi, Reading, Reckoning, Resident, Root,
    Sample, Source, Stall, State, Unknown, Window, any_of, from_fn, max_of, survey,
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
    // As the kernel reckons what is available, and as the kubelet does.
    let cases = [
        ("docker-v2", "/sys/fs/cgroup/memory.max", 259_931_136, 289_746_944, 536_870_912),
        ("docker-v2-hostns", ".scope/memory.max", 644_473_856, 698_507_264, 805_306_368),
        // The pod, not the container: a sibling uses it.
        ("kubernetes-v2", ".slice/memory.max", 980_191_848, 1_074_446_336, 1_342_177_280),
        // memory.high, where memory.max is none.
        ("systemd-slice-v2", "worker.service/memory.high", 349_049_856, 373_526_528, 419_430_400),
        ("nested-v2", "outer-middle.slice/memory.max", 400_030_520, 443_531_264, 536_870_912),
        ("docker-v1", "/memory/memory.limit_in_bytes", 147_574_784, 166_682_624, 268_435_456),
        ("kubernetes-v1", "memory.limit_in_bytes", 518_294_528, 557_760_512, 671_088_640),
        ("hybrid", "app.service/memory.limit_in_bytes", 222_063_616, 231_809_024, 314_572_800),
        // No more than the machine has.
        ("limit-above-ram-v2", "/memory.max", 6_611_489_184, 11_283_329_024, 16_690_941_952),
        ("lxc-namespaced-v2", "/memory.max", 647_277_568, 740_560_896, 1_073_741_824),
        ("lxc-attached-v2", "/memory.max", 819_001_960, 907_284_480, 1_073_741_824),
        ("octal-mount-v2", "jobs/job-17/memory.max", 185_993_832, 205_574_144, 268_435_456),
        ("unshared-v2", "memory.max", 535_492_608, 596_291_584, 805_306_368),
    ];
    for (name, file, available, working_set, total) in cases {
        let reckonings = [(Reckoning::Available, available), (Reckoning::WorkingSet, working_set)];
        for (reckoning, used) in reckonings {
            let sample = Cgroup::new(root(name)).reckoning(reckoning).sample();
            assert_eq!(sample.reading, Reading::Known { used, total }, "{name}: {sample:?}");
            assert!(sample.detail.ends_with(file), "{name}: {sample:?}");
            assert_eq!((sample.state(), sample.measure), (State::Available, Measure::Bytes));
        }
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
    // Of a larger limit the kernel keeps a little more of the files.
    assert_eq!(source.sample().reading, Reading::Known { used: 750, total: 2_000 });
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
        // More than the machine has, or than the group holds.
        ("1000", "18446744073709551615", "1"),
        ("1000", "1152921504606846976", "1"),
        ("1000", "1073741825", "1"),
        ("1000", "800", "900"),
        ("1000", "800", "18446744073709551615"),
        ("1000", "800", "1\nactive_file 800"),
        ("1000", "800", "1\nactive_file some"),
        ("1000", "800", "1\nslab_reclaimable 18446744073709551615"),
        ("1000", "800", "1\nfile_dirty -1"),
        ("1000 2000", "800", "1"),
    ];
    for (max, current, inactive) in cases {
        let sample = Cgroup::new(group(max, current, inactive).root()).sample();
        assert_eq!(sample.state(), State::Stale, "{max:?} {current:?} {inactive:?}: {sample:?}");
        let says = ["memory.max", "memory.current", "memory.stat"];
        assert!(says.iter().any(|file| sample.detail.contains(file)), "{sample:?}");
    }
    // Not UTF-8, and not even text.
    let written = group("1000", "800", "1");
    let path = written.0.path().join("sys/fs/cgroup/app/memory.current");
    std::fs::write(path, [0xff, 0xfe, 0, 1]).expect("a file");
    assert_eq!(Cgroup::new(written.root()).sample().state(), State::Stale);
    // More used than memory.high allows: that happens.
    let sample = Cgroup::new(group("1000", "1800", "100").root()).sample();
    assert_eq!(sample.reading, Reading::Known { used: 1_700, total: 1_000 });
}

/// Runs `f` with the files of nobody in particular: root, too, may then not read everything.
fn as_nobody<T>(f: impl FnOnce() -> T) -> T {
    struct Back(libc::uid_t);
    impl Drop for Back {
        fn drop(&mut self) {
            // SAFETY: takes a number, and changes this thread only.
            unsafe { libc::setfsuid(self.0) };
        }
    }
    // SAFETY: takes a number, and changes this thread only. For others than root it changes nothing.
    let _back = Back(unsafe { libc::setfsuid(65_534) } as libc::uid_t);
    f()
}

/// One file of several may not be read. It used to be taken for no limit, and the machine's memory for all there is.
#[test]
fn what_may_not_be_read_is_denied() {
    use std::os::unix::fs::PermissionsExt;
    let denied = Reading::Unknown(Unknown::Denied);
    let known = |used| Reading::Known { used, total: 1_000 };
    let cases = [
        ("memory.current", denied),
        ("memory.max", denied),
        // What can be read is still used.
        ("memory.high", known(799)),
        ("memory.stat", known(800)),
    ];
    for (file, expected) in cases {
        let written = group("1000", "800", "1");
        written.write("sys/fs/cgroup/app/memory.high", "max");
        let permit = |path: PathBuf, mode| {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(path, permissions).expect("permissions");
        };
        permit(written.0.path().to_owned(), 0o755);
        permit(written.0.path().join("sys/fs/cgroup/app").join(file), 0);
        let sample = as_nobody(|| recipe(&written.root()));
        assert_eq!(sample.reading, expected, "{file}: {sample:?}");
        assert!(sample.detail.contains(file), "{file}: {sample:?}");
        let states: Vec<_> = sample.members.iter().map(|member| member.sample.state()).collect();
        assert_eq!(states, [sample.state(), State::Available]);
    }
    // Nor the group's own directory.
    let written = group("1000", "800", "1");
    let permit = |path: PathBuf, mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path, permissions).expect("permissions");
    };
    permit(written.0.path().to_owned(), 0o755);
    let above = written.0.path().join("sys/fs/cgroup");
    permit(above.clone(), 0);
    let sample = as_nobody(|| recipe(&written.root()));
    permit(above, 0o755);
    assert_eq!(sample.reading, denied, "{sample:?}");
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
    // More than the machine has.
    written.write("proc/self/status", "VmRSS: 1001 kB\n");
    for budget in [None, Some(50_000), Some(u64::MAX)] {
        let sample = Resident::new(written.root(), budget).sample();
        assert_eq!(sample.state(), State::Stale, "{sample:?}");
        assert!(sample.detail.contains("VmRSS"), "{sample:?}");
    }
    // Beside a budget the machine's memory need not be known.
    std::fs::remove_file(written.0.path().join("proc/meminfo")).expect("removed");
    assert_eq!(of_budget.sample().reading, Reading::Known { used: 1_025_024, total: 50_000 });
    assert_eq!(of_machine.sample().state(), State::Unsupported);
}

fn fixed(name: &str, sample: Sample) -> Box<dyn Source> {
    Box::new(from_fn(name, Medium::Host, move || sample.clone()))
}

#[test]
fn of_several_sources_the_tightest() {
    let known = || {
        vec![
            fixed("a", Sample::bytes(50, 100, "")),
            fixed("b", Sample::bytes(8, 10, "")),
            fixed("c", Sample::share(700_000, "")),
        ]
    };
    let with = |why, detail| {
        let mut sources = known();
        sources.insert(1, fixed("d", Sample::unknown(why, detail)));
        sources
    };
    for compose in [max_of, any_of] {
        let sample = compose(known()).expect("sources").sample();
        assert_eq!(sample.reading, Reading::Known { used: 8, total: 10 });
        assert!(sample.detail.starts_with("b: "));
        // What is not there, or has no limit here, is absent.
        let sample = compose(with(Unknown::Unsupported, "no limit")).expect("sources").sample();
        assert_eq!(sample.reading, Reading::Known { used: 8, total: 10 });
        // One that is there and not known may be the tightest.
        for (why, state) in [(Unknown::Denied, State::Denied), (Unknown::Stale, State::Stale)] {
            let sample = compose(with(why, "why not")).expect("sources").sample();
            assert_eq!((sample.state(), sample.detail.as_str()), (state, "d: why not"));
            // Each member is shown.
            let states: Vec<_> = sample.members.iter().map(|it| it.sample.state()).collect();
            let available = State::Available;
            assert_eq!(states, [available, state, available, available]);
            let names: Vec<_> = sample.members.iter().map(|it| it.source.as_str()).collect();
            assert_eq!(names, ["a", "d", "b", "c"]);
            // Unless the caller says otherwise.
            let mut skipping = compose(with(why, "why not")).expect("sources").skipping(state);
            assert_eq!(skipping.sample().reading, Reading::Known { used: 8, total: 10 });
        }
        for why in [Unknown::Stale, Unknown::Unsupported] {
            let only = compose(vec![fixed("d", Sample::unknown(why, "gone"))]).expect("a source");
            let sample = only.skipping(State::Stale).sample();
            assert_eq!(sample.reading, Reading::Unknown(why));
        }
        assert_eq!(compose(Vec::new()).expect_err("none").field(), "sources");
    }
    let device = from_fn("gpu", Medium::Device(0), || Sample::bytes(1, 2, ""));
    let mixed = max_of(vec![fixed("a", Sample::bytes(1, 2, "")), Box::new(device)]);
    assert_eq!(mixed.expect_err("two media").field(), "sources");
    // They differ in their names only.
    let (mut max, mut any) = (max_of(known()).expect("sources"), any_of(known()).expect("sources"));
    assert_eq!((max.name(), any.name()), ("max(a, b, c)".to_owned(), "any(a, b, c)".to_owned()));
    assert_eq!(max.sample(), any.sample());
}

/// A container's limit and the machine's memory, of which the shorter counts.
fn recipe(root: &Root) -> Sample {
    let sources: Vec<Box<dyn Source>> =
        vec![Box::new(Cgroup::new(root.clone())), Box::new(Meminfo::new(root.clone()))];
    max_of(sources).expect("sources").sample()
}

const MIB: u64 = 1 << 20;

/// A container with a limit of 512 MiB and 500 in use, on a machine of 64 GiB that is nearly empty. Whatever may not
/// be read or is garbled, it is never taken for a machine that is nearly empty.
#[test]
fn what_cannot_be_read_of_a_group_is_never_no_pressure() {
    let fresh = || {
        Written::new(&[
            ("proc/meminfo", "MemTotal: 67108864 kB\nMemAvailable: 62914560 kB\n"),
            ("proc/self/cgroup", "0::/\n"),
            ("proc/self/mountinfo", "31 24 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n"),
            ("sys/fs/cgroup/memory.max", "536870912\n"),
            ("sys/fs/cgroup/memory.high", "max\n"),
            ("sys/fs/cgroup/memory.current", "524288000\n"),
            ("sys/fs/cgroup/memory.stat", "inactive_file 0\n"),
        ])
    };
    let tight = Reading::Known { used: 500 * MIB, total: 512 * MIB };
    assert_eq!(recipe(&fresh().root()).reading, tight);
    let stale = Reading::Unknown(Unknown::Stale);
    // Garbled; and not there, though its group has a limit.
    let cases = [
        ("memory.current", Some("garbage"), stale, "memory.current"),
        ("memory.current", None, stale, "memory.current"),
        ("memory.max", Some("garbage"), stale, "memory.max"),
        ("memory.stat", Some("inactive_file lots"), stale, "memory.stat"),
        // What can be read is still used, and the rest is said.
        ("memory.high", Some("garbage"), tight, "memory.high"),
        ("memory.stat", None, tight, "memory.stat"),
    ];
    for (file, text, expected, named) in cases {
        let written = fresh();
        let path = format!("sys/fs/cgroup/{file}");
        match text {
            Some(text) => written.write(&path, text),
            None => std::fs::remove_file(written.0.path().join(path)).expect("removed"),
        }
        let sample = recipe(&written.root());
        assert_eq!(sample.reading, expected, "{file}: {sample:?}");
        assert!(sample.detail.contains(named), "{file}: {sample:?}");
        let [Member { source, sample: cgroup }, Member { sample: meminfo, .. }] =
            &sample.members[..]
        else {
            panic!("{sample:?}");
        };
        assert_eq!((source.as_str(), cgroup.reading), ("cgroup", expected));
        assert_eq!(meminfo.state(), State::Available);
    }
    // Nor is a group that cannot be found one without a limit.
    for file in ["proc/self/cgroup", "proc/self/mountinfo"] {
        for garbage in ["garbage\n", "\n", "\u{0}\u{1}"] {
            let written = fresh();
            written.write(file, garbage);
            let sample = recipe(&written.root());
            assert_eq!(sample.reading, stale, "{file}: {sample:?}");
            assert!(sample.detail.contains(file), "{file}: {sample:?}");
        }
    }
    // A file that may not be read. What stands in its place cannot be read by root either.
    for (file, expected) in [("memory.high", tight), ("memory.stat", tight), ("memory.max", stale)]
    {
        let written = fresh();
        let path = written.0.path().join("sys/fs/cgroup").join(file);
        std::fs::remove_file(&path).expect("removed");
        std::fs::create_dir(&path).expect("a directory");
        let sample = recipe(&written.root());
        assert_eq!(sample.reading, expected, "{file}: {sample:?}");
        assert!(sample.detail.contains(file), "{sample:?}");
    }
}

/// Memory that the kernel would give back at once is not used: it is what `MemAvailable` counts.
#[test]
fn what_the_kernel_would_give_back_is_not_used() {
    let with = |current: u64, max: u64, stat: &str| {
        let written = Written::new(&[
            ("proc/meminfo", "MemTotal: 67108864 kB\nMemAvailable: 52428800 kB\n"),
            ("proc/self/cgroup", "0::/\n"),
            ("proc/self/mountinfo", "31 24 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n"),
            ("sys/fs/cgroup/memory.max", &max.to_string()),
            ("sys/fs/cgroup/memory.current", &current.to_string()),
            ("sys/fs/cgroup/memory.stat", stat),
        ]);
        let of = |reckoning| match Cgroup::new(written.root()).reckoning(reckoning).sample() {
            Sample { reading: Reading::Known { used, .. }, .. } => used,
            other => panic!("{other:?}"),
        };
        (of(Reckoning::Available), of(Reckoning::WorkingSet))
    };
    let gib = 1_024 * MIB;
    // A file that was read twice: 4 GiB of 16 are used, and the kubelet says 15.
    let stat = "anon 4294967296\ninactive_file 1258291200\nactive_file 11286872064\n\
                slab_reclaimable 104857600\n";
    let (used, working_set) = with(17_049_845_760, 16 * gib, stat);
    // All but the low watermark of a machine of 16 GiB: 16 MiB, and a thousandth of it.
    let reserve = (16_384 + 16_777) * 1_024;
    assert_eq!(used, 17_049_845_760 - (1_258_291_200 + 11_286_872_064 - reserve) - 104_857_600);
    assert_eq!(working_set, 17_049_845_760 - 1_258_291_200);
    // Slabs: 8 GiB of 14 are used.
    let stat = "anon 8589934592\ninactive_file 0\nactive_file 0\nslab_reclaimable 4085252096\n";
    assert_eq!(with(12 * gib, 14 * gib, stat), (12 * gib - 4_085_252_096, 12 * gib));
    // What is to be written first is not given back at once; and of few files half are kept.
    let stat = "inactive_file 1000000000\nfile_dirty 300000000\nfile_writeback 200000000\n";
    let reserve = (4_096 + 1_048) * 1_024;
    assert_eq!(with(gib, gib, stat), (gib - 500_000_000 + reserve, gib - 1_000_000_000));
    assert_eq!(with(gib, gib, "inactive_file 1000\n").0, gib - 500);
    assert_eq!(with(gib, gib, "inactive_file 1000\nfile_dirty 2000\n").0, gib);
}

/// Huge pages that are reserved are no part of the total: nothing that is evicted makes them free.
#[test]
fn reserved_huge_pages_are_not_pressure() {
    let sample = |text: &str| Meminfo::new(Written::new(&[("proc/meminfo", text)]).root()).sample();
    let known = |used: u64, total: u64| Reading::Known { used: used << 10, total: total << 10 };
    let text = "MemTotal: 134217728 kB\nMemAvailable: 12582912 kB\n";
    let huge = "HugePages_Total: 57344\nHugepagesize: 2048 kB\n";
    // 112 of 128 GiB: of the other 16, 4 are used.
    let expected = known(4 << 20, 16 << 20);
    assert_eq!(sample(&format!("{text}{huge}Hugetlb: 117440512 kB\n")).reading, expected);
    // Before Linux 4.20 there was no such field.
    assert_eq!(sample(&format!("{text}{huge}")).reading, expected);
    // Of several sizes, the sum.
    let all =
        sample(&format!("{text}HugePages_Total: 0\nHugepagesize: 2048 kB\nHugetlb: 1024 kB\n"));
    assert_eq!(all.reading, known(134_217_728 - 1_024 - 12_582_912, 134_217_728 - 1_024));
    for impossible in ["Hugetlb: 134217728 kB\n", "Hugetlb: 130000000 kB\n", "Hugetlb: many\n"] {
        let sample = sample(&format!("{text}{impossible}"));
        assert_eq!(sample.state(), State::Stale, "{impossible}: {sample:?}");
    }
}

/// What ZFS's cache holds above its minimum counts as free.
#[test]
fn the_cache_of_zfs_is_given_back() {
    let written =
        Written::new(&[("proc/meminfo", "MemTotal: 67108864 kB\nMemAvailable: 6291456 kB\n")]);
    let gib = 1_u64 << 30;
    let known = |used: u64| Reading::Known { used: used * gib, total: 64 * gib };
    let mut source = Meminfo::new(written.root());
    assert_eq!(source.sample().reading, known(58));
    let path = "proc/spl/kstat/zfs/arcstats";
    let stats = |size: u64, least: u64| {
        format!(
            "13 1 0x01 123 33456 8743 9876\nname                            type data\n\
             hits                            4    77\n\
             c_min                           4    {}\n\
             size                            4    {}\n",
            least * gib,
            size * gib
        )
    };
    written.write(path, &stats(32, 2));
    assert_eq!(source.sample().reading, known(28));
    written.write(path, &stats(1, 2));
    assert_eq!(source.sample().reading, known(58));
    // More than is used: that cannot be.
    written.write(path, &stats(62, 2));
    assert_eq!(source.sample().state(), State::Stale);
    // Without its figures it counts as used, and that is said.
    written.write(path, "garbage\n");
    let sample = source.sample();
    assert_eq!(sample.reading, known(58));
    assert!(sample.detail.contains("arcstats"), "{sample:?}");
}

/// For configurations that name a source and want none.
#[test]
fn e_c1_a_source_of_nothing_evicts_nothing() {
    let mut noop = Noop::new(Medium::Device(3));
    assert_eq!((noop.name(), noop.medium()), ("noop".to_owned(), Medium::Device(3)));
    assert_eq!(noop.sample().reading, Reading::Known { used: 0, total: 1 });
    // Beside another it never counts.
    let sources = vec![Box::new(Noop::default()) as _, fixed("a", Sample::bytes(1, 100, ""))];
    let sample = max_of(sources).expect("sources").sample();
    assert_eq!(sample.reading, Reading::Known { used: 1, total: 100 });
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
