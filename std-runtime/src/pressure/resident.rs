//! What this process holds.

use super::meminfo;
use super::root::{Failure, Root, field};
use super::source::{Sample, Source};

const PATH: &str = "/proc/self/status";

/// Reads the process's own resident bytes, beside a budget; without one, beside what the machine
/// has.
#[derive(Clone, Debug, Default)]
pub struct Resident {
    root: Root,
    budget: Option<u64>,
}

impl Resident {
    /// Creates a source that reads below this root.
    pub fn new(root: Root, budget: Option<u64>) -> Self {
        Self { root, budget }
    }

    fn read(&self) -> Result<(u64, u64), Failure> {
        let text = self.root.read(PATH)?;
        let used = field(&text, "VmRSS").ok_or_else(|| Failure::garbage(PATH))?;
        let machine = meminfo::read(&self.root);
        if machine.as_ref().is_ok_and(|machine| used > machine.installed) {
            return Err(Failure::impossible(PATH, "VmRSS is more than the machine has"));
        }
        let total = match self.budget {
            Some(budget) => budget,
            None => machine?.total,
        };
        Ok((used, total))
    }
}

impl Source for Resident {
    fn name(&self) -> String {
        "process".to_owned()
    }

    fn sample(&mut self) -> Sample {
        let beside = if self.budget.is_some() { "a budget" } else { "the machine's memory" };
        match self.read() {
            // A budget may be exceeded.
            Ok((used, total)) => Sample::beside(used, total, format!("{PATH}, beside {beside}")),
            Err(failure) => failure.into(),
        }
    }
}
