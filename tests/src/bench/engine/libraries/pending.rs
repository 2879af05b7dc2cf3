//! Calls under way, for libraries that wrap a future.
//!
//! Invariant: a call ends when it is told to, and nothing ever waits for it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Waker};

/// A call that was let through.
pub(in crate::bench::engine) struct Pending {
    call: Pin<Box<dyn Future<Output = bool>>>,
    ending: Ending,
}

/// The call itself: done when its outcome is known.
#[derive(Clone, Debug, Default)]
pub(in crate::bench::engine) struct Ending(Arc<AtomicU8>);

impl Pending {
    /// Begins a call; nothing when it was refused. The future of `wrap` says whether it was.
    pub(super) fn begin<Call>(wrap: impl FnOnce(Ending) -> Call) -> Option<Self>
    where
        Call: Future<Output = bool> + 'static,
    {
        let ending = Ending::default();
        let call = Box::pin(wrap(ending.clone()));
        let mut pending = Self { call, ending };
        pending.poll().is_pending().then_some(pending)
    }

    /// Ends it.
    pub(in crate::bench::engine) fn end(mut self, is_ok: bool) {
        self.ending.0.store(if is_ok { OK } else { FAILED }, Ordering::Relaxed);
        let poll = self.poll();
        debug_assert_eq!(poll, Poll::Ready(false), "a call that has ended and was not refused");
    }

    fn poll(&mut self) -> Poll<bool> {
        self.call.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }
}

impl Ending {
    /// One that is known already.
    pub(in crate::bench::engine) fn known(is_ok: bool) -> Self {
        Self(Arc::new(AtomicU8::new(if is_ok { OK } else { FAILED })))
    }
}

impl Future for Ending {
    type Output = Result<(), ()>;

    fn poll(self: Pin<&mut Self>, _ctx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.0.load(Ordering::Relaxed) {
            OK => Poll::Ready(Ok(())),
            FAILED => Poll::Ready(Err(())),
            _ => Poll::Pending,
        }
    }
}

const OK: u8 = 1;
const FAILED: u8 = 2;
