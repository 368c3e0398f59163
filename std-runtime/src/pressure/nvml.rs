//! The memory of NVIDIA's devices, by the driver's own library. It is loaded when it is first
//! needed, and not linked.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

use tidegate_core::pressure::Unknown;

use super::device::{Address, Card, Found, Identity, Visibility};
use super::root::Failure;
use super::source::{Medium, Sample, Source};
use crate::config::ConfigError;

/// Loading the library is not tried more often than this.
const AGAIN: Duration = Duration::from_secs(10);

/// Reads the memory of one device.
///
/// The reading is [`Unknown::Unsupported`] where the library or the driver is missing, and where
/// the device's memory is the machine's own. It is [`Unknown::Denied`] where the device is split
/// into instances (MIG) and this process may not see the whole.
///
/// A device is named by its number among those that this process may use, or by its
/// [UUID](Self::uuid) or [place](Self::pci). `CUDA_VISIBLE_DEVICES`, as it was when the source was
/// made, is honoured: under it number 0 is the first device of that list. Where the list has
/// numbers and CUDA's order is not the driver's, the source says so ([`Unknown::Denied`]) and reads
/// no other device.
///
/// A driver may hang in a call, and nothing can be done about it: this source then has no answer
/// any more.
#[derive(Debug)]
pub struct Gpu {
    device: u32,
    card: Card,
    visibility: Visibility,
    library: Option<OsString>,
    loaded: Loaded,
}

#[derive(Debug)]
enum Loaded {
    NotYet,
    /// When loading was tried, and why it failed.
    Failed(Instant, Failure),
    Yes(Arc<Nvml>),
}

impl Gpu {
    /// Creates a source for the device of this number, which measures [`Medium::Device`] of the
    /// same number.
    pub fn new(device: u32) -> Self {
        let (card, visibility) = (Card::default(), Visibility::of_process());
        Self { device, card, visibility, library: None, loaded: Loaded::NotYet }
    }

    /// Reads the device that has this UUID, as `nvidia-smi -L` prints it; the number stays what the
    /// process calls it. The UUID may also be that of an instance (`MIG-..`), or a part that only
    /// one device has.
    ///
    /// # Errors
    ///
    /// Fails if `uuid` begins with neither `GPU-` nor `MIG-`, or has a space.
    ///
    /// ```
    /// use tidegate::pressure::{Gpu, Medium, Source};
    ///
    /// let gpu = Gpu::new(0).uuid("GPU-11111111-1111-1111-1111-111111111111")?;
    /// assert_eq!(gpu.medium(), Medium::Device(0));
    /// # Ok::<(), tidegate::ConfigError>(())
    /// ```
    pub fn uuid(mut self, uuid: &str) -> Result<Self, ConfigError> {
        self.card = Card::uuid(uuid)?;
        Ok(self)
    }

    /// Reads the device at this place on the PCI bus; the number stays what the process calls it.
    ///
    /// # Errors
    ///
    /// Fails if `address` is not like `0000:65:00.0`, in hexadecimal digits.
    pub fn pci(mut self, address: &str) -> Result<Self, ConfigError> {
        self.card = Card::pci(address)?;
        Ok(self)
    }

    /// Loads a library of another name than `libnvidia-ml.so.1`, or at another place.
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
        let found = self.find(&nvml);
        let answer = found.and_then(|found| memory(&nvml, &found).map_err(|error| failure(&error)));
        answer.inspect_err(|failure| {
            if failure.why == Unknown::Stale {
                // The library itself may be out of order: load it anew, later.
                self.loaded = Loaded::Failed(Instant::now(), failure.clone());
            }
        })
    }
}

impl Gpu {
    fn find(&self, nvml: &Nvml) -> Result<Found, Failure> {
        if self.card == Card::Numbered && self.visibility.is_all() {
            return Ok(Found::Index(self.device));
        }
        self.card.find(self.device, &self.visibility, &identities(nvml)?)
    }
}

/// Returns what the driver says of each device; one that does not answer has no identity.
fn identities(nvml: &Nvml) -> Result<Vec<Identity>, Failure> {
    let count = nvml.device_count().map_err(|error| failure(&error))?;
    let identity = |index| {
        let Ok(device) = nvml.device_by_index(index) else { return Identity::default() };
        let pci = device.pci_info().ok();
        Identity {
            uuid: device.uuid().unwrap_or_default(),
            pci: pci.and_then(|pci| Address::parse(&pci.bus_id)),
        }
    };
    Ok((0..count).map(identity).collect())
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

fn memory(nvml: &Nvml, found: &Found) -> Result<(u64, u64, String), NvmlError> {
    let device = match found {
        Found::Index(index) => nvml.device_by_index(*index)?,
        Found::Instance(uuid) => nvml.device_by_uuid(uuid.as_str())?,
    };
    let memory = device.memory_info()?;
    // What of it counts the driver's own share differs between versions; what is free does not.
    let used = memory.total.saturating_sub(memory.free);
    let is_possible = memory.free <= memory.total && memory.used <= memory.total;
    let name = device.name().unwrap_or_default();
    // `Sample` makes a total of 0, or more used than there is, unknown.
    Ok((if is_possible { used } else { u64::MAX }, memory.total, name))
}

fn says(error: &NvmlError) -> String {
    format!("libnvidia-ml: {error}")
}

fn failure(error: &NvmlError) -> Failure {
    Failure::new(why(error), says(error))
}

/// Returns whether the figure may not be read, cannot be read here, or cannot be read now.
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

/// Returns a source for each device that this process may use, or one that says why there are none.
pub(super) fn all() -> Vec<Box<dyn Source>> {
    let (says, hears) = std::sync::mpsc::channel();
    // A driver may hang; then there is one device, which says so.
    let counting = std::thread::Builder::new().spawn(move || {
        let devices = load(None).and_then(|nvml| identities(&nvml)).unwrap_or_default();
        _ = says.send(Visibility::of_process().count(&devices));
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
