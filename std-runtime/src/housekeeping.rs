//! The runtime that sweeps the structures of the face by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidegate_core::{Budget, Swept, Worker};

use crate::config;
use crate::pin::with_worker;
use crate::runtime::{Runtime, Schedule, SweepHandle};

/// The name of the runtime that sweeps structures for which no other was named.
const NAME: &str = "tidegate housekeeping";

/// Which runtime sweeps a structure.
#[derive(Clone, Default)]
pub(crate) enum Housekeeper {
    /// The one of the process. Its thread starts with the first structure, and ends with the last.
    #[default]
    Process,
    Given(Runtime),
    /// None: the user sweeps.
    Manual,
}

/// Keeps a structure swept until this is dropped.
pub(crate) struct Kept {
    target: SweepHandle,
    /// Dropped after the target is removed. The last handle stops the runtime.
    _runtime: Runtime,
}

impl Housekeeper {
    /// Has `step` called with the structure and a worker of the [process's domain](crate::domain) at every deadline of
    /// the schedule, until the returned value is dropped. Between the steps the structure is not kept alive, and has no
    /// worker. `None` if the user sweeps.
    ///
    /// The target has the structure's name, or a number if it has none or the name is taken. Structures of one name, and
    /// those of one kind without a name, share a label in metrics.
    ///
    /// Where the system cannot start a thread now, the first structure for which it can has this one swept, too.
    pub(crate) fn keep<T: Send + Sync + 'static>(
        self,
        kind: &str,
        name: Option<&str>,
        schedule: Schedule,
        structure: &Arc<T>,
        mut step: impl FnMut(&T, &mut Worker, Budget) -> Swept + Send + 'static,
    ) -> Option<Arc<Kept>> {
        static NEXT: AtomicU64 = AtomicU64::new(1);

        let is_of_the_process = matches!(self, Self::Process);
        let runtime = match self {
            // One that the program has made under this name may have other settings.
            Self::Process => match Runtime::builder().name(NAME).shared() {
                Ok(runtime) => runtime,
                Err(_) => Runtime::find(NAME)?,
            },
            Self::Given(runtime) => runtime,
            Self::Manual => return None,
        };
        let name = name.filter(|name| config::name(name).is_ok());
        let label = name.unwrap_or(kind);
        // Relaxed: a number stands alone.
        let numbered = || format!("{label} {}", NEXT.fetch_add(1, Ordering::Relaxed));
        let structure = Arc::downgrade(structure);
        let step = move |_now, budget| {
            let gone = Swept { wrapped: true, ..Swept::default() };
            let swept = structure
                .upgrade()
                .map_or(gone, |structure| with_worker(|worker| step(&structure, worker, budget)));
            Ok(swept)
        };
        let name = name.map_or_else(numbered, str::to_owned);
        let target = runtime.keep(label, name, numbered, schedule, step);
        if is_of_the_process {
            _ = runtime.start();
        }
        Some(Arc::new(Kept { target, _runtime: runtime }))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.target.remove();
    }
}
