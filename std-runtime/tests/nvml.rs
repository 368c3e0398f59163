//! NVIDIA's library, played by one of our own: everything it may answer.

#![cfg(all(feature = "nvml", target_os = "linux"))]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tidegate::pressure::{
    Check, Gpu, Medium, Pool, Pressure, Reading, Sample, Skip, Source, State, Unknown,
};
use tidegate::{Runtime, Stop};

const GIB: u64 = 1 << 30;

/// Builds the library; linking needs a compiler, so there is one.
fn stub(directory: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nvml/stub.c");
    let library = directory.join("libnvidia-ml.so.1");
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut command = Command::new(compiler);
    command.args(["-shared", "-fPIC", "-Wl,-soname,libnvidia-ml.so.1", "-o"]);
    let built = command.arg(&library).arg(source).status().expect("a compiler");
    assert!(built.success());
    library
}

fn behave(how: &str) {
    // SAFETY: this is the only test of its process, and no other thread looks at the environment while the
    // library is in no call.
    unsafe { std::env::set_var("NVML_STUB", how) };
}

fn visible(devices: Option<&str>, order: Option<&str>) {
    for (name, value) in [("CUDA_VISIBLE_DEVICES", devices), ("CUDA_DEVICE_ORDER", order)] {
        match value {
            // SAFETY: as for `behave`.
            Some(value) => unsafe { std::env::set_var(name, value) },
            // SAFETY: as for `behave`.
            None => unsafe { std::env::remove_var(name) },
        }
    }
}

#[test]
fn every_answer_of_the_library_has_a_state() {
    let directory = tempfile::tempdir().expect("a directory");
    let library = stub(directory.path());
    let gpu = |device| Gpu::new(device).library(&library);

    visible(None, None);
    behave("ok");
    for (device, used, total) in [(0, 60 * GIB, 80 * GIB), (1, GIB, 24 * GIB)] {
        let mut gpu = gpu(device);
        assert_eq!(gpu.medium(), Medium::Device(device));
        assert_eq!(gpu.sample().reading, Reading::Known { used, total });
    }
    let cases = [
        ("no-driver", 0, State::Unsupported),
        ("none", 0, State::Unsupported),
        ("ok", 2, State::Unsupported),
        ("lost", 0, State::Stale),
        ("denied", 0, State::Denied),
        // Memory is the machine's own.
        ("unsupported", 0, State::Unsupported),
        ("zero", 0, State::Unsupported),
        // Cut in instances: not for everybody; the other device is whole.
        ("mig", 0, State::Denied),
        ("mig", 1, State::Available),
        ("garbage", 0, State::Stale),
        ("no such behaviour", 0, State::Stale),
    ];
    for (how, device, state) in cases {
        behave(how);
        let sample = gpu(device).sample();
        assert_eq!(sample.state(), state, "{how} {device}: {sample:?}");
        assert!(!sample.detail.is_empty());
    }

    // A device that is lost while it is watched; what was said before is not said again.
    behave("ok");
    let mut watched = gpu(0);
    assert_eq!(watched.sample().state(), State::Available);
    behave("denied");
    assert_eq!(watched.sample().reading, Reading::Unknown(Unknown::Denied));
    behave("ok");
    assert_eq!(watched.sample().state(), State::Available);
    behave("lost");
    assert_eq!(watched.sample().state(), State::Stale);

    // By its UUID and its place, whatever the number.
    behave("ok");
    let second = Reading::Known { used: GIB, total: 24 * GIB };
    let uuid = "GPU-11111111-1111-1111-1111-111111111111";
    let mut by_uuid = gpu(0).uuid(uuid).expect("a UUID");
    assert_eq!((by_uuid.sample().reading, by_uuid.medium()), (second, Medium::Device(0)));
    let by_place = |place| gpu(5).pci(place).expect("a place").sample();
    assert_eq!(by_place("0000:02:00.0").reading, second);
    assert_eq!(by_place("0000:03:00.0").state(), State::Unsupported);
    behave("mig");
    let instance = "MIG-22222222-2222-2222-2222-222222222222";
    let sample = gpu(0).uuid(instance).expect("a UUID").sample();
    assert_eq!(sample.reading, Reading::Known { used: 5 * GIB, total: 20 * GIB });
    behave("ok");

    // Number 0 is the first of those that this process may use, and not somebody else's.
    visible(Some(uuid), None);
    assert_eq!(gpu(0).sample().reading, second);
    assert_eq!(gpu(1).sample().state(), State::Unsupported);
    visible(Some("1,0"), Some("PCI_BUS_ID"));
    assert_eq!(gpu(0).sample().reading, second);
    visible(Some("1"), None);
    let refused = gpu(0).sample();
    assert_eq!(refused.state(), State::Denied, "{refused:?}");
    assert!(refused.detail.contains("CUDA_VISIBLE_DEVICES"), "{refused:?}");
    visible(Some(""), None);
    assert_eq!(gpu(0).sample().state(), State::Unsupported);
    // By its UUID a device is meant whatever is visible.
    assert_eq!(gpu(0).uuid(uuid).expect("a UUID").sample().reading, second);
    visible(None, None);

    let nowhere = Gpu::new(0).library(directory.path().join("no such library")).sample();
    assert_eq!(nowhere.state(), State::Unsupported, "{nowhere:?}");
    let text = directory.path().join("not a library");
    std::fs::write(&text, "text").expect("a file");
    assert_eq!(Gpu::new(0).library(text).sample().state(), State::Unsupported);

    // A driver that hangs: the check goes on, and so does stopping.
    behave("hang");
    let runtime = Runtime::builder().build().expect("a runtime");
    let builder = Pressure::builder(gpu(0), &Pool::new());
    let builder = builder.timeout(Duration::from_millis(50)).expect("a timeout");
    let pressure = runtime.pressure("gpu", builder).expect("threads");
    let start = Instant::now();
    let check = pressure.force_check();
    assert_eq!(check, Ok(Check::Skipped(Skip::Unknown(Unknown::Stale))));
    let state = |sample: Option<Sample>| sample.map(|sample| sample.state());
    assert_eq!(state(pressure.status().sample), Some(State::Stale));
    assert_eq!(runtime.stop(Duration::from_secs(20)), Stop::Stopped);
    drop((pressure, runtime));
    assert!(start.elapsed() < Duration::from_secs(20));
}
