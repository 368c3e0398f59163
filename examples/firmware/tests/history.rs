//! The main loop's answers do not depend on when the interrupt comes, nor on the sweep.

use tidegate_core::bucket::LocalSet;
use tidegate_core::{Budget, LocalSweep};
use tidegate_firmware::device::{Device, SETS};
use tidegate_firmware::history::History;
use tidegate_firmware::ledger::Ledger;

/// Runs 20,000 steps, between which `meanwhile` is called. Returns the digest.
fn run(mut meanwhile: impl FnMut(u32, &mut Device)) -> (u64, Device) {
    let sets = Box::leak(vec![LocalSet::new(); SETS].into_boxed_slice());
    let mut device = Device::over(sets);
    let mut history = History::new();
    for step in 0..20_000 {
        history.step(&mut device);
        meanwhile(step, &mut device);
    }
    (history.digest(), device)
}

#[test]
fn neither_interrupts_nor_the_sweep_change_an_answer() {
    let (alone, _) = run(|_, _| ());
    let mut sweep = LocalSweep::default();
    for often in 1..5 {
        let (digest, mut device) = run(|step, device| {
            for _ in 0..step.wrapping_mul(0x9e37_79b9) >> 28 & often {
                Ledger::tick(device);
            }
            _ = sweep.step(&mut device.limiter, device.now, Budget::entries(step as usize % 50));
        });
        assert_eq!(digest, alone);
        assert!(Ledger::balances(&mut device));
        assert!(device.ledger.admitted > 100 && device.ledger.ticks > 1_000);
    }
}

#[test]
fn a_ledger_notices_tokens_from_nowhere() {
    let (_, mut device) = run(|step, device| {
        Ledger::tick(device);
        if step == 10_000 {
            device.limiter.reset(&1_000_u32, device.now);
        }
    });
    assert!(!Ledger::balances(&mut device));
}
