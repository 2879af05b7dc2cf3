//! The time without a daemon after a panic, as a span.
//!
//! Invariant: no clock; the span ends when the next daemon guards.

use std::time::SystemTime;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};

use super::attributes::text;
use super::points::nanos;
use crate::engine::Chance;

/// The span from a panic, which said `message` at a `place` in the source, to `now`; and its trace, for
/// the log. The ids follow from `seed`, so that should be random.
pub fn panic_recovery(
    message: &str,
    place: &str,
    panicked: SystemTime,
    now: SystemTime,
    seed: u64,
) -> (String, Span) {
    let mut chance = Chance::new(seed);
    let trace = u128::from(chance.next()) << 64 | u128::from(chance.next());
    let began = nanos(panicked);
    let span = Span {
        trace_id: trace.to_be_bytes().to_vec(),
        span_id: chance.next().to_be_bytes().to_vec(),
        // Sampled.
        flags: 1,
        name: "panic.recovery".to_owned(),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: began,
        // The clock of the wall may have been set back.
        end_time_unix_nano: nanos(now).max(began),
        attributes: vec![
            text("error.type", "panic"),
            text("exception.type", "panic"),
            text("exception.message", message),
            text("code.location", place),
        ],
        status: Some(Status { message: message.to_owned(), code: StatusCode::Error.into() }),
        ..Span::default()
    };
    (format!("{trace:032x}"), span)
}
