//! What `nvidia-smi` prints, where the library cannot be loaded.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tidegate_core::pressure::Unknown;

use super::device::{Address, Card, Found, Identity, Visibility};
use super::root::Failure;
use super::source::{Medium, Sample, Source};
use crate::config::ConfigError;

const PROGRAM: &str = "nvidia-smi";
/// Starting a driver that no program uses takes a second.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads the memory of one device by running `nvidia-smi`: tens of milliseconds of a processor each
/// time. It is never the sum of several devices, which hides the one that is full.
///
/// A device is named by its number among those that this process may use, or by its
/// [UUID](Self::uuid) or [place](Self::pci). `CUDA_VISIBLE_DEVICES`, as it was when the source was
/// made, is honoured. Where the list has numbers and CUDA's order is not the driver's, the source
/// says so ([`Unknown::Denied`]). `nvidia-smi` does not list instances of devices (MIG).
#[derive(Clone, Debug)]
pub struct NvidiaSmi {
    device: u32,
    card: Card,
    visibility: Visibility,
}

impl NvidiaSmi {
    /// Creates a source for the device of this number, which measures [`Medium::Device`] of the
    /// same number.
    pub fn new(device: u32) -> Self {
        Self { device, card: Card::default(), visibility: Visibility::of_process() }
    }

    /// Reads the device that has this UUID, as `nvidia-smi -L` prints it; the number stays what the
    /// process calls it.
    ///
    /// # Errors
    ///
    /// Fails if `uuid` begins with neither `GPU-` nor `MIG-`, or has a space.
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
}

/// A device as it is listed.
struct Listed {
    /// Used and total, in bytes.
    memory: Result<(u64, u64), Failure>,
    identity: Identity,
}

/// Reads lines `used, total, uuid, place`.
fn parse(text: &str) -> Vec<Listed> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let listed = |text| {
        let mut words = str::split(text, ',').skip(2).map(str::trim);
        let uuid = words.next().unwrap_or_default().to_owned();
        let pci = words.next().and_then(Address::parse);
        Listed { memory: line(text), identity: Identity { uuid, pci } }
    };
    lines.map(listed).collect()
}

fn line(line: &str) -> Result<(u64, u64), Failure> {
    let says = || format!("{PROGRAM} says: {}", line.chars().take(200).collect::<String>());
    if line.contains("Insufficient Permissions") {
        return Err(Failure::new(Unknown::Denied, says()));
    }
    if line.contains("[N/A]") || line.contains("Not Supported") || line.contains("[Not ") {
        return Err(Failure::new(Unknown::Unsupported, says()));
    }
    let garbage = || Failure::new(Unknown::Stale, says());
    let mut words = line.split(',');
    let (used, total) = words.next().zip(words.next()).ok_or_else(garbage)?;
    // The figure has its unit or not.
    let mib = |text: &str| {
        let number = text.trim().strip_suffix("MiB").unwrap_or(text).trim();
        number.parse::<u64>().ok()?.checked_mul(1 << 20)
    };
    let (used, total) = mib(used).zip(mib(total)).ok_or_else(garbage)?;
    if total == 0 || used > total { Err(garbage()) } else { Ok((used, total)) }
}

/// Runs `nvidia-smi`, and ends it if it takes too long.
fn run() -> Result<String, Failure> {
    let query =
        ["--query-gpu=memory.used,memory.total,uuid,pci.bus_id", "--format=csv,noheader,nounits"];
    let mut command = Command::new(PROGRAM);
    command.args(query).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| Failure::of(PROGRAM, &error))?;
    let start = Instant::now();
    // What it prints fits into a pipe.
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if start.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok(None) => {
                end(&mut child);
                let detail = format!("{PROGRAM}: no answer within {PATIENCE:?}");
                return Err(Failure::new(Unknown::Stale, detail));
            }
            Err(error) => {
                end(&mut child);
                return Err(Failure::of(PROGRAM, &error));
            }
        }
    };
    let mut text = String::new();
    if let Some(mut output) = child.stdout.take() {
        _ = output.read_to_string(&mut text);
    }
    if status.success() {
        return Ok(text);
    }
    // It says why where it otherwise says what it found.
    let says = text.lines().next().unwrap_or("nothing");
    Err(Failure::new(Unknown::Unsupported, format!("{PROGRAM} ({status}) says: {says}")))
}

fn end(child: &mut Child) {
    // It may have ended by itself.
    _ = child.kill();
    _ = child.wait();
}

impl NvidiaSmi {
    fn of(&self, text: &str) -> Result<(u64, u64), Failure> {
        let listed = parse(text);
        let identities: Vec<_> = listed.iter().map(|device| device.identity.clone()).collect();
        let says = |failure: Failure| Failure {
            detail: format!("{PROGRAM}: {}", failure.detail),
            ..failure
        };
        match self.card.find(self.device, &self.visibility, &identities).map_err(says)? {
            Found::Index(index) => listed[index as usize].memory.clone(),
            Found::Instance(uuid) => {
                let detail = format!("{PROGRAM}: does not list {uuid}");
                Err(Failure::new(Unknown::Unsupported, detail))
            }
        }
    }
}

/// Returns a source for each device that this process may use, or one that says why there are none.
pub(super) fn all() -> Vec<Box<dyn Source>> {
    let listed = run().map_or_else(|_| Vec::new(), |text| parse(&text));
    let identities: Vec<_> = listed.into_iter().map(|device| device.identity).collect();
    let devices = Visibility::of_process().count(&identities);
    (0..devices.max(1))
        .map(|device| -> Box<dyn Source> { Box::new(NvidiaSmi::new(device)) })
        .collect()
}

impl Source for NvidiaSmi {
    fn name(&self) -> String {
        format!("nvidia-smi {}", self.device)
    }

    fn medium(&self) -> Medium {
        Medium::Device(self.device)
    }

    fn sample(&mut self) -> Sample {
        match run().and_then(|text| self.of(&text)) {
            Ok((used, total)) => Sample::bytes(used, total, PROGRAM),
            Err(failure) => failure.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn known(text: &str) -> Vec<Option<(u64, u64)>> {
        parse(text).into_iter().map(|device| device.memory.ok()).collect()
    }

    fn of_device(text: &str, device: u32) -> Result<(u64, u64), Failure> {
        let (card, visibility) = (Card::default(), Visibility::default());
        NvidiaSmi { device, card, visibility }.of(text)
    }

    #[test]
    fn e_c29_devices_one_by_one() {
        let text = include_str!("../../tests/roots/nvidia-smi/plain.txt");
        assert_eq!(known(text), [Some((1_000 * MIB, 2_000 * MIB)), Some((500 * MIB, 2_000 * MIB))]);
        // Together, as the original would have it: 1500 of 4000 MiB.
        let sum = |at: fn(&(u64, u64)) -> u64| known(text).iter().flatten().map(at).sum::<u64>();
        assert_eq!((sum(|it| it.0), sum(|it| it.1)), (1_500 * MIB, 4_000 * MIB));
        assert_eq!(of_device(text, 1), Ok((500 * MIB, 2_000 * MIB)));
        assert_eq!(of_device(text, 2).unwrap_err().why, Unknown::Unsupported);
        let text = include_str!("../../tests/roots/nvidia-smi/with-units.txt");
        assert_eq!(known(text)[0], Some((42_279_632_896, 85_520_809_984)));
    }

    #[test]
    fn what_is_no_figure_is_no_figure() {
        let cases = [
            (include_str!("../../tests/roots/nvidia-smi/not-available.txt"), Unknown::Unsupported),
            (include_str!("../../tests/roots/nvidia-smi/denied.txt"), Unknown::Denied),
            (include_str!("../../tests/roots/nvidia-smi/failed.txt"), Unknown::Stale),
            (include_str!("../../tests/roots/nvidia-smi/version-mismatch.txt"), Unknown::Stale),
            ("1, 0", Unknown::Stale),
            ("3, 2", Unknown::Stale),
            ("-1, 2", Unknown::Stale),
            ("99999999999999999999, 2", Unknown::Stale),
        ];
        for (text, why) in cases {
            assert_eq!(of_device(text, 0).expect_err("no figure").why, why, "{text}");
        }
        assert_eq!(known(include_str!("../../tests/roots/nvidia-smi/empty.txt")), []);
        let mixed = include_str!("../../tests/roots/nvidia-smi/mixed.txt");
        let tightest = Some((1_572_864_000, 2_097_152_000));
        let other = Some((262_144_000, 2_097_152_000));
        assert_eq!(known(mixed), [None, tightest, None, None, other]);
    }

    #[test]
    fn a_device_is_read_by_its_uuid_and_its_place() {
        let text =
            "1000, 2000, GPU-aa00, 00000000:01:00.0\n500, 2000, GPU-bb11, 00000000:65:00.0\n";
        let of = |device: NvidiaSmi| device.of(text).map_err(|failure| failure.why);
        let (first, second) = (Ok((1_000 * MIB, 2_000 * MIB)), Ok((500 * MIB, 2_000 * MIB)));
        assert_eq!(of(NvidiaSmi::new(0).uuid("GPU-bb11").expect("a UUID")), second);
        assert_eq!(of(NvidiaSmi::new(1).pci("0000:01:00.0").expect("a place")), first);
        let gone = NvidiaSmi::new(0).uuid("GPU-cc22").expect("a UUID");
        assert_eq!(of(gone), Err(Unknown::Unsupported));
        let instance = NvidiaSmi::new(0).uuid("MIG-cc22").expect("a UUID");
        assert_eq!(of(instance), Err(Unknown::Unsupported));
    }
}
