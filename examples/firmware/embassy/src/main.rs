//! Embassy tasks that share a limiter, which one of them sweeps, and a slot that they claim in turn.

#![no_std]
#![no_main]

mod time_driver;

use core::cell::RefCell;
use core::fmt::{self, Display, Formatter};
use core::future::poll_fn;
use core::task::Poll;

use critical_section::Mutex;
use embassy_executor::{SpawnError, Spawner};
use embassy_time::Timer;
use semihosting::println;
use tidegate_core::bucket::{LocalSet, Unit};
use tidegate_core::flight::{Caller, LocalClaim, LocalClaimError, LocalSlot};
use tidegate_core::{
    Budget, Clock, Decision, Instant, LocalBucketTable, LocalSweep, Plan, Quota, QuotaError,
    SeededState,
};

type Limiter = LocalBucketTable<&'static mut [LocalSet]>;

static LIMITER: Mutex<RefCell<Limiter>> = {
    static mut MEMORY: [LocalSet; LocalSet::for_keys(64)] =
        [const { LocalSet::new() }; LocalSet::for_keys(64)];
    let memory = &raw mut MEMORY;
    // SAFETY: this is the only place that names the memory, and it is evaluated once.
    let sets = unsafe { &mut *memory };
    // A product takes its seed from the hardware's random numbers.
    let seed = SeededState::new(0x5eed);
    Mutex::new(RefCell::new(LocalBucketTable::over(sets, Unit::NANOSECOND, seed)))
};

static RADIO: Mutex<RefCell<LocalSlot<2>>> = Mutex::new(RefCell::new(LocalSlot::new()));

/// Embassy's time as the library's.
struct EmbassyClock;

impl Clock for EmbassyClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(embassy_time::Instant::now().as_micros() * 1_000)
    }
}

/// Checks a sensor: the task's own code and an interrupt would call this alike.
fn check(sensor: u16, plan: &Plan) -> Decision {
    critical_section::with(|cs| LIMITER.borrow_ref_mut(cs).check(&sensor, plan, EmbassyClock.now()))
}

/// Waits until the radio is free, and claims it.
async fn claim(caller: Caller) -> LocalClaim {
    poll_fn(|context| {
        critical_section::with(|cs| {
            let mut slot = RADIO.borrow_ref_mut(cs);
            match slot.claim(caller, None, EmbassyClock.now()) {
                Ok(claim) => Poll::Ready(claim),
                Err(LocalClaimError::Held) if slot.wait(context.waker()) => Poll::Pending,
                Err(_) => {
                    // There is no place for the waker: asks again when the other tasks have run.
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
            }
        })
    })
    .await
}

/// Reports from a sensor every 10 ms, as often as its quota allows.
#[embassy_executor::task(pool_size = 2)]
async fn sensor(number: u16, plan: Plan) {
    let (mut sent, mut dropped) = (0, 0);
    for _ in 0..30 {
        if check(number, &plan).is_admitted() {
            let claim = claim(Caller(u32::from(number))).await;
            Timer::after_millis(2).await; // the report goes out
            let released = critical_section::with(|cs| RADIO.borrow_ref_mut(cs).release(claim));
            sent += u32::from(released.is_ok());
        } else {
            dropped += 1;
        }
        Timer::after_millis(10).await;
    }
    println!("sensor {number}: {sent} sent, {dropped} dropped");
}

/// Sweeps 32 slots at a time, and lets every interrupt between.
#[embassy_executor::task]
async fn sweep() {
    let mut sweep = LocalSweep::default();
    loop {
        let swept = critical_section::with(|cs| {
            let mut limiter = LIMITER.borrow_ref_mut(cs);
            sweep.step(&mut limiter, EmbassyClock.now(), Budget::entries(32))
        });
        Timer::after_millis(if swept.wrapped { 100 } else { 5 }).await;
    }
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    let Some(peripherals) = cortex_m::Peripherals::take() else {
        return fail(&"the peripherals are in use");
    };
    time_driver::start(peripherals);
    if let Err(error) = spawn(spawner) {
        return fail(&error);
    }
    Timer::after_secs(1).await;
    semihosting::process::exit(0)
}

fn spawn(spawner: Spawner) -> Result<(), Failure> {
    let plan = Unit::NANOSECOND.plan(Quota::per_second(40)?.burst(3)?)?;
    spawner.spawn(sensor(1, plan)?);
    spawner.spawn(sensor(2, plan)?);
    spawner.spawn(sweep()?);
    Ok(())
}

/// Why the tasks did not start.
enum Failure {
    Quota(QuotaError),
    Spawn(SpawnError),
}

impl From<QuotaError> for Failure {
    fn from(error: QuotaError) -> Self {
        Self::Quota(error)
    }
}

impl From<SpawnError> for Failure {
    fn from(error: SpawnError) -> Self {
        Self::Spawn(error)
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quota(error) => error.fmt(f),
            Self::Spawn(error) => error.fmt(f),
        }
    }
}

fn fail(error: &dyn Display) {
    println!("{error}");
    semihosting::process::exit(1)
}

#[panic_handler]
fn panicked(info: &core::panic::PanicInfo<'_>) -> ! {
    println!("{info}");
    semihosting::process::exit(1)
}
