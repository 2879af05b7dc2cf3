//! How long a conversation may last.
//!
//! Invariant: every conversation ends in time, but for a stream that keeps up, and that one when it no
//! longer does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

/// One for each conversation.
#[derive(Debug, Default)]
pub(crate) struct Leash {
    is_stream: AtomicBool,
    is_answered: AtomicBool,
    cut: Notify,
}

impl Leash {
    /// From now on it may last.
    pub(crate) fn let_out(&self) {
        self.is_stream.store(true, Ordering::Relaxed);
    }

    /// Whether it may.
    pub(crate) fn is_out(&self) -> bool {
        self.is_stream.load(Ordering::Relaxed)
    }

    /// An answer begins.
    pub(crate) fn answer(&self) {
        self.is_answered.store(true, Ordering::Relaxed);
    }

    /// Whether one has begun.
    pub(crate) fn is_answered(&self) -> bool {
        self.is_answered.load(Ordering::Relaxed)
    }

    /// Ends it, whatever the client reads or does not.
    pub(crate) fn cut(&self) {
        self.cut.notify_one();
    }

    /// Ready when the conversation has to end.
    pub(crate) async fn end(&self, life: Duration) {
        tokio::select! {
            () = self.cut.notified() => return,
            () = sleep(life) => {}
        }
        if self.is_out() {
            self.cut.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn only_a_stream_outlives_its_time_and_only_until_it_is_cut() {
        let moment = Duration::from_millis(5);
        assert!(timeout(Duration::from_secs(5), Leash::default().end(moment)).await.is_ok());
        let stream = Leash::default();
        stream.let_out();
        assert!(timeout(10 * moment, stream.end(moment)).await.is_err());
        stream.cut();
        assert!(timeout(Duration::from_secs(5), stream.end(moment)).await.is_ok());
    }
}
