//! Reclamation: when memory that others may still be reading can be freed.
//!
//! A [`Domain`] is what readers and removed objects have in common. A reader holds a [`Guard`]; an
//! object that is taken out of a structure is *retired* to the domain and freed once every guard that
//! was there then is gone.
//!
//! | caller | how |
//! |---|---|
//! | a loop that runs to completion | [`Worker::quiescent`] once a burst: a few nanoseconds, shared by the burst |
//! | a call now and then | [`Worker::pin`] for its duration; on a server `tidegate::pin()` |
//! | freeing | the end of an outermost guard and [`Worker::quiescent`], for what was retired since; a sweep, or [`Worker::collect`], within a [`Budget`](crate::Budget) |
//!
//! Reading never runs a destructor, nor does a call under a guard. Retiring allocates nothing.
//!
//! # Garbage is bounded
//!
//! A domain leaves alone up to 1,024 retired objects and 1 MiB of them: its
//! [allowance](Builder::allowance). Above either, the end of a guard frees about two ripe objects for
//! each one retired under it, of the same structures and of structures that are gone. It never frees
//! those of other structures, whose destructors may want a lock that the caller holds. A structure's own
//! destructors must not wait for anything that a caller holds while its guard ends. What a destructor
//! retires is paid for by a later guard's end.
//!
//! What still lets garbage grow, as [`Domain::gauges`] show:
//!
//! | cause | by how much |
//! |---|---|
//! | a guard that is held | all that is removed in the domain meanwhile; 256 inserts under one guard leave 256 inserts' worth |
//! | a thread that is stopped, or loses its processor, while it holds a guard | all that is removed until it runs again; on a server the others then give their processors away when they pay |
//! | a destructor that hangs | its portion, up to 32 objects; in a domain without [`contain`](Builder::contain) everything, for one thread at a time frees |
//! | a thread that stops for ever while it holds the collector's lock, for less than a microsecond at a time | everything |
//! | what a structure retired that no caller changes any more | what it had left; a sweep of any structure of the domain frees it |
//! | a table of 64 KiB or more, replaced | itself, until a sweep frees it; without one, callers that pay do once more bytes wait than the table in use has |
//! | a value that owns its own domain, or a map or worker of it | itself, for ever, unless a caller or a sweep frees it |
//!
//! A domain that is built with [`never_on_the_data_path`](Builder::never_on_the_data_path) refuses
//! changes at a cap instead.
//!
//! # Algorithm
//!
//! Grace periods are crossbeam-epoch's, on a collector of the domain's own. A retired object is pushed
//! on a lock-free stack through a word of its own. A thread that holds the collector's lock takes whole
//! stacks and lets one deferred function tell when their grace period is over; any thread then cuts
//! portions from them, and frees those without the lock. See [the design](crate::docs::design).

mod allocate;
mod batch;
mod builder;
mod collect;
mod debt;
mod domain;
mod garbage;
mod header;
mod inner;
mod limbo;
mod marks;
mod pay;
mod post;
mod record;
mod records;
mod roll;
mod rules;
mod worker;

pub use builder::Builder;
pub use domain::{Domain, Gauges};
pub use rules::Contain;
pub use worker::{Guard, Pinned, Worker};

pub(crate) use allocate::{OutOfMemory, Unpublished, allocate};
pub(crate) use garbage::Full;
pub(crate) use header::{Header, Kind};
pub(crate) use limbo::Limbo;
pub(crate) use record::STRIPES;
pub(crate) use rules::Containment;
