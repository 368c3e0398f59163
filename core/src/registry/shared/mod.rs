//! The registry that threads share: what needs a heap and native 64-bit atomics.

mod clock;
mod entry;
mod error;
mod lease;
mod ledger;
mod lists;
mod namespace;
mod namespaces;
mod peers;
mod services;
mod sweep;
mod terms;

pub use self::clock::TimeStatus;
pub use self::error::{EnterError, RegistryError};
pub use self::lease::Lease;
pub use self::lists::{Discovered, Lists, Lookup};
pub use self::namespaces::{Builder, Pruned, Registry};
pub use self::peers::{Peer, Peers};
pub use self::services::Services;
pub use self::sweep::{RegistryPass, RegistrySweep};
pub use self::terms::Terms;
