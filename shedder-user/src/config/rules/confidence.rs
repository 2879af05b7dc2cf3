//! Confidence levels as people name them, and the widths of their intervals.

use super::super::error::Complaint;
use super::super::value::At;

/// Standard deviations of a two-sided confidence level; 95 % where none is given.
pub(super) fn deviations(confidence: Option<&At<f64>>) -> Result<f64, Complaint> {
    let Some(confidence) = confidence else { return Ok(DEFAULT) };
    let wanted = confidence.value;
    let found = LEVELS.iter().find(|(level, _)| (level - wanted).abs() < 1e-9);
    found.map(|(_, z)| *z).ok_or_else(|| {
        let known: Vec<_> = LEVELS.iter().map(|(level, _)| level.to_string()).collect();
        confidence.complaint(format!("confidence {wanted} is not one of {}", known.join(", ")))
    })
}

const DEFAULT: f64 = 1.96;
/// Zero takes the plain share.
const LEVELS: [(f64, f64); 6] = [
    (0.0, 0.0),
    (0.8, 1.281_6),
    (0.9, 1.644_9),
    (0.95, DEFAULT),
    (0.99, 2.575_8),
    (0.999, 3.290_5),
];
