//! How a domain bounds its garbage and frees it.

/// Runs a closure that frees retired objects, or calls a waker or a listener, and keeps its panic from
/// going on: see [`Builder::contain`](super::Builder::contain).
pub type Contain = fn(&mut dyn FnMut());

/// How much garbage a domain leaves alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    pub(super) objects: u64,
    pub(super) bytes: u64,
}

impl Allowance {
    /// Objects and bytes that a worker retires before it pays: a small part, since many workers may owe
    /// as much; but an attempt to pay costs as much as a few retirements.
    pub(super) fn due(self) -> (u64, u64) {
        ((self.objects / 32).clamp(1, 32), (self.bytes / 64).max(1))
    }
}

/// What a domain is built with.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) allowance: Allowance,
    /// `usize::MAX`: no cap.
    pub(super) cap: usize,
    /// Whether the ends of guards free what was retired.
    pub(super) on_the_data_path: bool,
    /// Makes every other thread pass a full barrier. `None`: guards do not stay.
    pub(super) barrier: Option<fn()>,
    pub(super) contain: Option<Contain>,
    pub(super) contain_calls: Option<Contain>,
    pub(super) yield_now: Option<fn()>,
}

impl Rules {
    /// The rules of a domain for which nothing else is said.
    pub(super) const fn new() -> Self {
        Self {
            allowance: Allowance { objects: 1024, bytes: 1 << 20 },
            cap: usize::MAX,
            on_the_data_path: true,
            barrier: None,
            contain: None,
            contain_calls: None,
            yield_now: None,
        }
    }

    /// How wakers and listeners are called.
    pub(super) fn containment(&self) -> Containment {
        Containment(self.contain_calls.or(self.contain))
    }
}

/// How a domain's structures call wakers and listeners.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Containment(Option<Contain>);

impl Containment {
    /// Calls `f` once: through the domain's hook if there is one. A hook that does not call it is inside
    /// an earlier call on this thread, which contains the panic of `f`.
    pub(crate) fn call(self, f: impl FnOnce()) {
        let mut left = Some(f);
        if let Some(contain) = self.0 {
            contain(&mut || {
                if let Some(f) = left.take() {
                    f();
                }
            });
        }
        if let Some(f) = left {
            f();
        }
    }
}
