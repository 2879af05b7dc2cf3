//! The windows of one breaker, one for each span its strategies look back.
//!
//! Invariant: there is always one of time.

use std::time::Duration;

use shedder_common::time::Monotonic;

use super::{Sample, Span, Summary, Window};

/// The trailing evidence of one breaker: a window for each span its strategies look back.
///
/// One window for all of them would have slices too coarse for the shortest.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Windows {
    /// In rising order of span; never empty.
    by_span: Box<[Window]>,
}

impl Windows {
    /// Empty windows of these spans, or of a default one if there are none.
    pub(in crate::engine) fn new(spans: impl Iterator<Item = Span>) -> Self {
        let mut spans: Vec<Span> = spans.collect();
        if !spans.iter().any(|span| matches!(span, Span::Time(_))) {
            spans.push(Span::Time(DEFAULT_SPAN));
        }
        spans.sort();
        spans.dedup();
        Self { by_span: spans.into_iter().map(Window::new).collect() }
    }

    /// Keeps the windows of these spans, with what they hold, and begins those there were not.
    pub(in crate::engine) fn adopt(&mut self, spans: impl Iterator<Item = Span>) {
        let mut adopted = Self::new(spans);
        for window in &mut adopted.by_span {
            if let Some(known) = self.by_span.iter_mut().find(|known| known.span == window.span) {
                std::mem::swap(window, known);
            }
        }
        *self = adopted;
    }

    /// Adds what happened, stamped `now`.
    pub(in crate::engine) fn add(&mut self, sample: &Sample, now: Monotonic) {
        for window in &mut self.by_span {
            window.add(sample, now);
        }
    }

    /// Forgets everything, and gives the memory back.
    pub(in crate::engine) fn clear(&mut self) {
        for window in &mut self.by_span {
            window.clear();
        }
    }

    /// Forgets what no window can see any more; whether anything is left.
    pub(in crate::engine) fn forget_before(&mut self, now: Monotonic) -> bool {
        let mut is_filled = false;
        for window in &mut self.by_span {
            window.drop_old(now);
            if window.slices.is_empty() {
                window.clear();
            }
            is_filled |= !window.slices.is_empty() && window.expires();
        }
        is_filled
    }

    /// The window of a span given to [`Windows::new`].
    pub(in crate::engine) fn of(&self, span: Span) -> &Window {
        let found = self.by_span.iter().find(|window| window.span == span);
        found.unwrap_or_else(|| self.longest())
    }

    /// What the longest window of time holds.
    pub(in crate::engine) fn summary(&self, now: Monotonic) -> Summary {
        self.longest().summary(now)
    }

    /// The longest window of time, which every breaker has.
    pub(in crate::engine) fn longest(&self) -> &Window {
        let mut of_time = self.by_span.iter().rev();
        of_time.find(|window| window.expires()).expect("one is made if no rule asks for any")
    }

    /// Bytes on the heap.
    pub(in crate::engine) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.by_span) + self.by_span.iter().map(Window::heap_bytes).sum::<usize>()
    }
}

/// Looked back for the status of a policy whose strategies need no window of time.
const DEFAULT_SPAN: Duration = Duration::from_secs(10);
