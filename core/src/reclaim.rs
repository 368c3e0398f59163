//! Reclamation: when memory that others may still be reading can be freed.
//!
//! A [`Domain`] is what reads and what is removed have in common. Whoever reads holds a [`Guard`];
//! what is taken out of a structure is *retired* to the domain and freed once every guard that was
//! there then is gone. Whoever holds a guard for long holds back all memory retired meanwhile, of
//! every structure of the domain: see [`Domain::gauges`] and [`Domain::capped`].
//!
//! | who | how |
//! |---|---|
//! | a loop that runs to completion | [`Worker::quiescent`] once a burst: a few nanoseconds, shared by the burst |
//! | a call now and then | [`Worker::pin`] for its duration; on a server `tidegate::pin()` |
//! | who frees | [`Worker::collect`], or a sweeper of a map, which does so within its budget |
//!
//! Reading and retiring never run a destructor: only collecting does, and counts each against its
//! [`Budget`](crate::Budget). Retiring allocates nothing.
//!
//! # Algorithm
//!
//! Grace periods are crossbeam-epoch's, on a collector of the domain's own. What is retired is
//! pushed on a lock-free stack through a word of its own; the collecting thread takes whole stacks,
//! lets one deferred function tell when their grace period is over, and frees them in steps. See
//! [the design](crate::docs::design).

mod allocate;
mod collect;
mod domain;
mod limbo;
mod post;
mod roll;
mod worker;

pub use domain::{Domain, Gauges};
pub use worker::{Guard, Pinned, Worker};

pub(crate) use allocate::{OutOfMemory, Unpublished, allocate};
pub(crate) use limbo::{Full, Header, Limbo, STRIPES};
