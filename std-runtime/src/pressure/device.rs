//! Which of the machine's devices a source reads: by number, UUID, or place on the bus.

use tidegate_core::pressure::Unknown;

use super::root::Failure;
use crate::config::ConfigError;

/// Which device a source reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Card {
    /// The device that has the source's number among those that this process may use.
    #[default]
    Numbered,
    Uuid(String),
    Pci(Address),
}

/// A place on the PCI bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    domain: u32,
    bus: u8,
    device: u8,
    function: u8,
}

/// What a driver says about one of its devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) uuid: String,
    pub(super) pci: Option<Address>,
}

/// Which device was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A device, by the driver's own number.
    Index(u32),
    /// An instance of a device that is split, which has no number.
    Instance(String),
}

/// What the environment says about the devices that this process may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Visibility {
    /// `CUDA_VISIBLE_DEVICES`.
    devices: Option<String>,
    /// Whether CUDA numbers devices as the driver does, by their place on the bus.
    by_bus: bool,
}

const DEVICES: &str = "CUDA_VISIBLE_DEVICES";
const ORDER: &str = "CUDA_DEVICE_ORDER";

impl Card {
    pub(super) fn uuid(uuid: &str) -> Result<Self, ConfigError> {
        let is_one = uuid.starts_with("GPU-") || uuid.starts_with("MIG-");
        if !is_one || !uuid.is_ascii() || uuid.contains(char::is_whitespace) {
            return Err(ConfigError::new("uuid", "must begin with GPU- or MIG-"));
        }
        Ok(Self::Uuid(uuid.to_owned()))
    }

    pub(super) fn pci(address: &str) -> Result<Self, ConfigError> {
        let refused = || ConfigError::new("pci", "must be like 0000:65:00.0, in hexadecimal");
        Address::parse(address).map(Self::Pci).ok_or_else(refused)
    }

    /// Finds the device among those of the driver; `number` is the source's.
    pub(super) fn find(
        &self,
        number: u32,
        visibility: &Visibility,
        devices: &[Identity],
    ) -> Result<Found, Failure> {
        match self {
            Self::Numbered => visibility.find(number, devices),
            Self::Uuid(uuid) => by_uuid(uuid, devices),
            Self::Pci(address) => {
                let index = devices.iter().position(|device| device.pci == Some(*address));
                let absent = || absent(format_args!("no device at {}", address.text()));
                index.map(|index| Found::Index(index as u32)).ok_or_else(absent)
            }
        }
    }
}

impl Address {
    /// Reads `[domain:]bus:device.function`, in hexadecimal digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (rest, function) = text.trim().rsplit_once('.')?;
        let (rest, device) = rest.rsplit_once(':')?;
        let (domain, bus) = rest.rsplit_once(':').unwrap_or(("0", rest));
        let digits =
            |text: &str| u32::from_str_radix(text, 16).ok().filter(|_| !text.contains('+'));
        let byte = |text: &str| digits(text).and_then(|number| u8::try_from(number).ok());
        Some(Self {
            domain: digits(domain)?,
            bus: byte(bus)?,
            device: byte(device)?,
            function: byte(function)?,
        })
    }

    fn text(self) -> String {
        let Self { domain, bus, device, function } = self;
        format!("{domain:04x}:{bus:02x}:{device:02x}.{function:x}")
    }
}

impl Visibility {
    /// Reads the environment of this process.
    pub(super) fn of_process() -> Self {
        let read = |name| std::env::var_os(name).map(|text| text.to_string_lossy().into_owned());
        Self::new(read(DEVICES), read(ORDER).as_deref())
    }

    fn new(devices: Option<String>, order: Option<&str>) -> Self {
        Self { devices, by_bus: order == Some("PCI_BUS_ID") }
    }

    /// Returns whether the driver's numbers are this process's.
    pub(super) fn is_all(&self) -> bool {
        self.devices.is_none()
    }

    /// Finds the device that this process calls `number`.
    fn find(&self, number: u32, devices: &[Identity]) -> Result<Found, Failure> {
        let Some(list) = &self.devices else { return by_number(number, devices) };
        // The first entry that names no device ends the list.
        for place in 0..=number {
            let entry = list.split(',').nth(place as usize).map_or("", str::trim);
            let found = self.entry(entry, devices).map_err(|failure| {
                let detail = format!("{DEVICES}={list:?}: {}", failure.detail);
                Failure { detail, ..failure }
            })?;
            if place == number {
                return Ok(found);
            }
        }
        Err(absent("no such device"))
    }

    fn entry(&self, entry: &str, devices: &[Identity]) -> Result<Found, Failure> {
        if entry.starts_with("GPU-") || entry.starts_with("MIG-") {
            return by_uuid(entry, devices);
        }
        let Ok(number) = entry.parse::<u32>() else {
            return Err(absent(format_args!("{entry:?} is no device")));
        };
        if devices.len() > 1 && !self.by_bus {
            // CUDA puts the fastest device first, and the driver orders by the bus.
            let detail = format!(
                "which device CUDA calls {number} is not known: set {ORDER}=PCI_BUS_ID, or name it \
                 by its UUID"
            );
            return Err(Failure::new(Unknown::Denied, detail));
        }
        by_number(number, devices)
    }

    /// Counts the devices that this process may use.
    pub(super) fn count(&self, devices: &[Identity]) -> u32 {
        let Some(list) = &self.devices else { return devices.len() as u32 };
        let most = list.split(',').count() as u32;
        // A device that is there and cannot be identified counts.
        let is_there = |number: &u32| {
            self.find(*number, devices).map_or_else(|error| error.why == Unknown::Denied, |_| true)
        };
        (0..most).take_while(is_there).count() as u32
    }
}

fn by_number(number: u32, devices: &[Identity]) -> Result<Found, Failure> {
    if (number as usize) < devices.len() {
        Ok(Found::Index(number))
    } else {
        Err(absent(format_args!("there is no device {number}")))
    }
}

/// Finds the device with this UUID, or the only one whose UUID begins with it.
fn by_uuid(uuid: &str, devices: &[Identity]) -> Result<Found, Failure> {
    if uuid.starts_with("MIG-") {
        return Ok(Found::Instance(uuid.to_owned()));
    }
    let mut found = (0_u32..).zip(devices).filter(|(_, device)| device.uuid.starts_with(uuid));
    match (found.next(), found.next()) {
        (Some((index, _)), None) => Ok(Found::Index(index)),
        (None, _) => Err(absent(format_args!("no device has the UUID {uuid}"))),
        (Some(_), Some(_)) => {
            let detail = format!("several devices have UUIDs that begin with {uuid}");
            Err(Failure::new(Unknown::Denied, detail))
        }
    }
}

fn absent(what: impl std::fmt::Display) -> Failure {
    Failure::new(Unknown::Unsupported, what.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices() -> Vec<Identity> {
        let device = |uuid: &str, pci| Identity { uuid: uuid.to_owned(), pci: Address::parse(pci) };
        vec![
            device("GPU-aa00", "00000000:01:00.0"),
            device("GPU-aa11", "00000000:65:00.0"),
            device("GPU-bb22", "00000001:01:00.0"),
        ]
    }

    fn find(list: Option<&str>, order: Option<&str>, number: u32) -> Result<Found, Unknown> {
        let visibility = Visibility::new(list.map(str::to_owned), order);
        let found = Card::Numbered.find(number, &visibility, &devices());
        found.map_err(|failure| failure.why)
    }

    #[test]
    fn the_environment_says_which_device_a_number_is() {
        let (bus, fastest) = (Some("PCI_BUS_ID"), Some("FASTEST_FIRST"));
        let (absent, refused) = (Err(Unknown::Unsupported), Err(Unknown::Denied));
        let cases = [
            (None, None, 2, Ok(Found::Index(2))),
            (None, None, 3, absent.clone()),
            (Some("2,0"), bus, 0, Ok(Found::Index(2))),
            (Some("2, 0"), bus, 1, Ok(Found::Index(0))),
            (Some("2,0"), bus, 2, absent.clone()),
            // CUDA's own order is not the driver's.
            (Some("2"), None, 0, refused.clone()),
            (Some("0"), fastest, 0, refused.clone()),
            (Some("GPU-bb22"), None, 0, Ok(Found::Index(2))),
            (Some("GPU-bb"), None, 0, Ok(Found::Index(2))),
            (Some("GPU-aa"), None, 0, refused),
            (Some("GPU-cc"), None, 0, absent.clone()),
            (Some("MIG-1/2"), None, 0, Ok(Found::Instance("MIG-1/2".to_owned()))),
            // Nothing is visible, and nothing after an entry that is none.
            (Some(""), bus, 0, absent.clone()),
            (Some("-1,0"), bus, 1, absent.clone()),
            (Some("0,-1,1"), bus, 2, absent.clone()),
            (Some("9,1"), bus, 1, absent.clone()),
            (Some("NoDevFiles"), bus, 0, absent),
        ];
        for (list, order, number, expected) in cases {
            assert_eq!(find(list, order, number), expected, "{number} of {list:?} by {order:?}");
        }
        // With one device there is one order.
        let visibility = Visibility::new(Some("0".to_owned()), None);
        let found = Card::Numbered.find(0, &visibility, &devices()[..1]);
        assert_eq!(found, Ok(Found::Index(0)));
        let refused = Visibility::new(Some("2".to_owned()), None).find(0, &devices());
        let detail = refused.expect_err("refused").detail;
        assert!(
            detail.contains("CUDA_VISIBLE_DEVICES=\"2\"") && detail.contains(ORDER),
            "{detail}"
        );
    }

    #[test]
    fn visible_devices_are_counted() {
        for (list, order, count) in [
            (None, None, 3),
            (Some(""), None, 0),
            (Some("1"), Some("PCI_BUS_ID"), 1),
            (Some("1,0,-1,2"), Some("PCI_BUS_ID"), 2),
            (Some("1,0"), None, 2),
            (Some("GPU-aa11,GPU-cc"), None, 1),
        ] {
            let visibility = Visibility::new(list.map(str::to_owned), order);
            assert_eq!(visibility.count(&devices()), count, "{list:?}");
        }
    }

    #[test]
    fn a_device_is_found_by_its_uuid_and_its_place() {
        // Whatever the environment says.
        let hidden = Visibility::new(Some(String::new()), None);
        let find = |card: Card| card.find(7, &hidden, &devices()).map_err(|failure| failure.why);
        assert_eq!(find(Card::uuid("GPU-aa11").expect("one")), Ok(Found::Index(1)));
        for (address, expected) in [
            ("00000000:65:00.0", Ok(Found::Index(1))),
            ("0000:65:00.0", Ok(Found::Index(1))),
            ("65:00.0", Ok(Found::Index(1))),
            ("0001:01:00.0", Ok(Found::Index(2))),
            ("0001:02:00.0", Err(Unknown::Unsupported)),
        ] {
            assert_eq!(find(Card::pci(address).expect("one")), expected, "{address}");
        }
        for address in ["", "65", "65:00", "0:65:00.0.0", "x:65:00.0", "0:165:00.0", "+1:65:00.0"] {
            assert_eq!(Card::pci(address).expect_err(address).field(), "pci");
        }
        for uuid in ["", "0", "aa11", "GPU-a b"] {
            assert_eq!(Card::uuid(uuid).expect_err(uuid).field(), "uuid");
        }
    }
}
