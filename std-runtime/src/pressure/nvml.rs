//! The memory of NVIDIA's devices, by the driver's own library: loaded when it is first asked for, and not
//! linked.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

use super::root::Failure;
use super::{Medium, Sample, Source, Unknown};

/// Loading the library is not tried more often than this.
const AGAIN: Duration = Duration::from_secs(10);

/// The memory of one device. Where the library or the driver is missing, and where memory is the machine's
/// own, that is said ([`Unknown::Unsupported`]); where the device is cut in instances (MIG) and this process
/// may not see the whole, too ([`Unknown::Denied`]).
///
/// A driver may hang in a call, with nothing to be done about it: this source then says nothing any more.
#[derive(Debug)]
pub struct Gpu {
    device: u32,
    library: Option<OsString>,
    loaded: Loaded,
}

#[derive(Debug)]
enum Loaded {
    NotYet,
    /// When it was tried, and why it came to nothing.
    Failed(Instant, Failure),
    Yes(Arc<Nvml>),
}

impl Gpu {
    /// The device of this index.
    pub fn new(device: u32) -> Self {
        Self { device, library: None, loaded: Loaded::NotYet }
    }

    /// By a library of another name than `libnvidia-ml.so.1`, or at another place.
    #[must_use]
    pub fn library(mut self, path: impl Into<OsString>) -> Self {
        self.library = Some(path.into());
        self
    }

    fn nvml(&mut self) -> Result<Arc<Nvml>, Failure> {
        match &self.loaded {
            Loaded::Yes(nvml) => return Ok(Arc::clone(nvml)),
            Loaded::Failed(tried, failure) if tried.elapsed() < AGAIN => {
                return Err(failure.clone());
            }
            Loaded::Failed(..) | Loaded::NotYet => {}
        }
        match load(self.library.as_ref()) {
            Ok(nvml) => {
                self.loaded = Loaded::Yes(Arc::clone(&nvml));
                Ok(nvml)
            }
            Err(failure) => {
                self.loaded = Loaded::Failed(Instant::now(), failure.clone());
                Err(failure)
            }
        }
    }

    fn read(&mut self) -> Result<(u64, u64, String), Failure> {
        let nvml = self.nvml()?;
        memory(&nvml, self.device).map_err(|error| {
            let failure = failure(&error);
            if failure.why == Unknown::Stale {
                // It may be the library that is out of order: load it anew, later.
                self.loaded = Loaded::Failed(Instant::now(), failure.clone());
            }
            failure
        })
    }
}

fn load(library: Option<&OsString>) -> Result<Arc<Nvml>, Failure> {
    let nvml = match library {
        Some(path) => Nvml::builder().lib_path(path).init(),
        None => Nvml::init(),
    };
    nvml.map(Arc::new).map_err(|error| match error {
        // It can be loaded later, but for now there is no device.
        NvmlError::DriverNotLoaded => Failure::new(Unknown::Unsupported, says(&error)),
        _ => failure(&error),
    })
}

fn memory(nvml: &Nvml, device: u32) -> Result<(u64, u64, String), NvmlError> {
    let device = nvml.device_by_index(device)?;
    let memory = device.memory_info()?;
    // What of it counts the driver's own share differs between versions; what is free does not.
    let used = memory.total.saturating_sub(memory.free);
    let is_possible = memory.free <= memory.total && memory.used <= memory.total;
    let name = device.name().unwrap_or_default();
    // Of no memory, or more than there is, `Sample` makes what it is: not known.
    Ok((if is_possible { used } else { u64::MAX }, memory.total, name))
}

fn says(error: &NvmlError) -> String {
    format!("libnvidia-ml: {error}")
}

fn failure(error: &NvmlError) -> Failure {
    Failure::new(why(error), says(error))
}

/// Whether it may not be said, cannot be said here, or is not said now.
fn why(error: &NvmlError) -> Unknown {
    match error {
        NvmlError::NoPermission | NvmlError::OperatingSystem => Unknown::Denied,
        NvmlError::NotSupported
        | NvmlError::FunctionNotFound
        | NvmlError::FailedToLoadSymbol(_)
        | NvmlError::LibloadingError(_)
        | NvmlError::LibraryNotFound
        | NvmlError::LibRmVersionMismatch
        | NvmlError::InvalidArg
        | NvmlError::NotFound => Unknown::Unsupported,
        // Lost, to be reset, busy, late, or unheard of.
        _ => Unknown::Stale,
    }
}

/// One for each device; or one that says why there are none.
pub(super) fn all() -> Vec<Box<dyn Source>> {
    let (says, hears) = std::sync::mpsc::channel();
    // A driver may hang; then there is one device, which says so.
    let counting = std::thread::Builder::new().spawn(move || {
        let devices = load(None).ok().and_then(|nvml| nvml.device_count().ok());
        _ = says.send(devices.unwrap_or(0));
    });
    let devices = counting.ok().and_then(|_| hears.recv_timeout(Duration::from_secs(5)).ok());
    let devices = devices.unwrap_or(0);
    (0..devices.max(1)).map(|device| -> Box<dyn Source> { Box::new(Gpu::new(device)) }).collect()
}

impl Source for Gpu {
    fn name(&self) -> String {
        format!("nvml {}", self.device)
    }

    fn medium(&self) -> Medium {
        Medium::Device(self.device)
    }

    fn sample(&mut self) -> Sample {
        match self.read() {
            // A device without memory of its own uses the machine's.
            Ok((_, 0, name)) => {
                let detail = format!("{name}: no memory of its own");
                Sample::unknown(Unknown::Unsupported, detail)
            }
            Ok((used, total, name)) => Sample::bytes(used, total, name),
            Err(failure) => failure.into(),
        }
    }
}
