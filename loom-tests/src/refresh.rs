//! One renewal by a future that all who wait for it poll: woken, dropped and handed on, all at once.
//!
//! No time passes in a model, so a wake that is lost is a deadlock. The future itself locks with the
//! standard library's: it is not modelled, and no thread is interrupted in the middle of its poll.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tidegate::refresh::{Async, Drive, Minted, Refresher};
use tidegate::wait::block_on;
use tidegate::{Clock, Instant};

use crate::{Model, both, race};

/// The models of this module.
pub const MODELS: &[Model] = &[
    Model {
        name: "a01_two_tasks_poll_what_a_thread_wakes",
        preemptions: 3,
        run: two_tasks_poll_what_a_thread_wakes,
        outcomes: both(&["1 made"]),
    },
    Model {
        name: "a02_a_task_leaves_while_another_waits",
        preemptions: 3,
        run: a_task_leaves_while_another_waits,
        outcomes: both(&["1 made", "2 made"]),
    },
    Model {
        name: "a03_the_executor_drops_what_a_task_waits_for",
        preemptions: 3,
        run: the_executor_drops_what_a_task_waits_for,
        outcomes: both(&["1 made"]),
    },
    Model {
        name: "a04_a_task_is_kept_without_being_polled",
        preemptions: 3,
        run: a_task_is_kept_without_being_polled,
        outcomes: both(&["1 made"]),
    },
];

struct Still;

impl Clock for Still {
    fn now(&self) -> Instant {
        Instant::from_secs(1)
    }
}

/// What the future waits for: whether it is there, and what to wake.
#[derive(Default)]
struct Answer {
    state: Mutex<(bool, Option<Waker>)>,
    made: AtomicU32,
}

impl Answer {
    fn arrives(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = true;
        let waker = state.1.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Result<Minted<u32>, ()>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0 {
            return Poll::Ready(Ok(Minted { value: 7, ttl: Duration::from_secs(9).into() }));
        }
        state.1 = Some(context.waker().clone());
        Poll::Pending
    }

    fn outcome(&self) -> String {
        format!("{} made", self.made.load(Ordering::SeqCst))
    }
}

type Token = Refresher<u32, (), Async<u32, ()>>;

fn setting(spawn: Option<Arc<Mutex<Option<Drive>>>>) -> (Arc<Token>, Arc<Answer>) {
    let answer = Arc::new(Answer::default());
    let asked = Arc::clone(&answer);
    let builder = Refresher::from_async(move || {
        asked.made.fetch_add(1, Ordering::SeqCst);
        let answer = Arc::clone(&asked);
        std::future::poll_fn(move |context| answer.poll(context))
    });
    let builder = builder.clock(Arc::new(Still));
    let builder = match spawn {
        Some(place) => builder.spawn_with(move |drive| {
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(drive);
        }),
        None => builder,
    };
    (Arc::new(builder.lazy().expect("settings that can be")), answer)
}

fn deed(deed: impl FnOnce() + 'static) -> Box<dyn FnOnce()> {
    Box::new(deed)
}

fn waits(token: &Arc<Token>) -> Box<dyn FnOnce()> {
    let token = Arc::clone(token);
    deed(move || assert_eq!(block_on(token.get_async()).as_deref(), Ok(&7)))
}

fn two_tasks_poll_what_a_thread_wakes() -> String {
    let (token, answer) = setting(None);
    let arrives = Arc::clone(&answer);
    race(vec![waits(&token), waits(&token), deed(move || arrives.arrives())]);
    answer.outcome()
}

fn a_task_leaves_while_another_waits() -> String {
    let (token, answer) = setting(None);
    let (arrives, leaves) = (Arc::clone(&answer), Arc::clone(&token));
    race(vec![
        deed(move || {
            let mut future = Box::pin(leaves.get_async());
            _ = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }),
        waits(&token),
        deed(move || arrives.arrives()),
    ]);
    answer.outcome()
}

fn the_executor_drops_what_a_task_waits_for() -> String {
    let place: Arc<Mutex<Option<Drive>>> = Arc::default();
    let (token, answer) = setting(Some(Arc::clone(&place)));
    let arrives = Arc::clone(&answer);
    race(vec![
        waits(&token),
        deed(move || {
            let taken = || place.lock().unwrap_or_else(PoisonError::into_inner).take();
            let mut drive = loop {
                match taken() {
                    Some(drive) => break drive,
                    None => loom::thread::yield_now(),
                }
            };
            _ = std::pin::Pin::new(&mut drive).poll(&mut Context::from_waker(Waker::noop()));
        }),
        deed(move || arrives.arrives()),
    ]);
    answer.outcome()
}

fn a_task_is_kept_without_being_polled() -> String {
    let (token, answer) = setting(None);
    let (arrives, keeps) = (Arc::clone(&answer), Arc::clone(&token));
    let mut kept = Box::pin(async move { keeps.get_async().await.map(|value| *value) });
    let place: Arc<Mutex<Option<_>>> = Arc::default();
    let goes_on = Arc::clone(&place);
    race(vec![
        deed(move || {
            _ = kept.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            *goes_on.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        }),
        waits(&token),
        deed(move || arrives.arrives()),
    ]);
    drop(place);
    answer.outcome()
}
