//! The registry that threads share: what needs a heap and native 64-bit atomics.

mod clock;
mod discovery;
mod entry;
mod lease;
mod ledger;
mod namespace;
mod namespaces;
mod peers;
mod services;
mod sweep;
mod terms;

pub use self::clock::TimeStatus;
pub use self::discovery::{Discovered, Lookup};
pub use self::lease::Lease;
pub use self::namespaces::{Builder, EnterError, Pruned, Registry, RegistryError};
pub use self::peers::{Peer, Peers};
pub use self::sweep::{RegistryPass, RegistrySweep};
pub use self::terms::Terms;
