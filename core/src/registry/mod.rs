//! Services under leases, and lists of the providers and subscribers that are known elsewhere.
//!
//! A `Registry` holds three independent namespaces: local services under leases, lists of the
//! providers of services elsewhere, and lists of the subscribers of topics. No read returns an
//! entry that has ended. Pruning and sweeping only give its memory back, and call a hook once for
//! each entry that is removed. A lease is owned. It acts on its own service only, whatever the key
//! stands for since. A [`FixedRegistry`] is one namespace for one owner, without a heap.
//!
//! # Algorithm
//!
//! Each namespace is a growing map whose entries have one word beside the value: until when it
//! lives, and whether it is dead. A renewal, an expiry and a withdrawal are each one
//! compare-exchange of that word, so one of them comes first. The namespace's own time decides
//! everything. It lags behind the clock by what must not be charged to tenants: see
//! `Terms::hold_mass_expiry` and [the design](crate::docs::design).
//!
//! Tenants continue while the registry's machine is suspended, and so must its `now`: pass times of
//! a clock that counts meanwhile ([`time`](crate::time)).

mod departure;
mod fixed;
#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
mod shared;

pub use self::departure::{Arrival, Departure, LapsedError, WhenFull};
pub use self::fixed::{Advertised, Displaced, FixedError, FixedLease, FixedRegistry};
#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
pub use self::shared::{
    Builder, Discovered, EnterError, Lease, Lists, Lookup, Peer, Peers, Pruned, Registry,
    RegistryError, RegistryPass, RegistrySweep, Services, Terms, TimeStatus,
};
