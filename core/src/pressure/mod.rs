//! When to give memory back, and how much: readings in, requests out.
//!
//! Nothing in this module measures anything or frees anything, and it does not know what there is
//! to be evicted. A caller samples whatever it watches and asks a [`Controller`]. It carries the
//! request to what can be evicted ([`Cache::evict_bytes`](crate::cache::Cache::evict_bytes), for
//! instance), and reports the result to the controller.
//!
//! * A [`Reading`] says how much is used of how much, or that this is unknown. Unknown is never *no
//!   pressure* and never *full*.
//! * [`Watermarks`] say where eviction begins, and how far it goes.
//! * [`Rules`] bound a step, and say what follows when evicting does not help.

mod controller;
mod evidence;
mod outcome;
mod reading;
mod rules;

pub use controller::Controller;
pub use outcome::{Outcome, Request, Skip};
pub use reading::{Reading, Unknown};
pub use rules::{PressureError, Rules, Target, Watermarks};
