//! Two rates and three colours: the marker of RFC 2698.
//!
//! # Algorithm
//!
//! A flow has two buckets of the kind that `gcra.rs` describes: one of the peak rate and burst, one
//! of the committed rate and burst. A packet that the peak bucket denies is red and charges
//! nothing. Any other charges the peak bucket, and is green if the committed bucket admits it,
//! which it then charges too, and yellow otherwise. A marker that is aware of colours never gives a
//! packet a better colour than it came with: a red packet charges nothing, and a yellow one does
//! not ask the committed bucket.
//!
//! # Two words
//!
//! The peak word is charged first, and then the committed one, each by one compare-exchange. The
//! two are not charged at one instant. Nothing has to be rolled back for that: the charge of the
//! peak bucket stands, whether the packet becomes green or yellow. So in every interleaving
//!
//! * each word is charged as if its packets came one after another: the peak word has paid for
//!   every packet that is green or yellow, and for no other, the committed word for every green
//!   one;
//! * in every window the green packets take no more than the committed burst and what flows in, and
//!   the green and yellow ones no more than the peak burst and what flows in;
//! * a packet is red or yellow only if its bucket lacked its cost when it was asked.
//!
//! What is lost is one common order of both words. Of two packets that race, the one that charges
//! the peak bucket first may ask the committed bucket last, and be the yellow one. To decide both
//! words at once would take an operation on both, which few processors have, and no bound would be
//! better for it.
//!
//! A word only grows. So a charge that is denied on a value that is out of date would be denied on
//! the newest one as well, and needs no second look.

mod limits;
mod local;
mod plan;
#[cfg(target_has_atomic = "64")]
mod shared;

pub use self::limits::mark;
pub use self::local::LocalMarker;
pub use self::plan::MarkerPlan;
#[cfg(target_has_atomic = "64")]
pub use self::shared::Marker;

/// How a marker judges a packet. The better colour is the lesser one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "a marker polices nothing unless its colour is used"]
pub enum Colour {
    /// Within the committed rate and burst.
    Green,
    /// Beyond these, and within the peak rate and burst.
    Yellow,
    /// Beyond the peak rate or burst.
    Red,
}
