//! Where another breaker did better than ours, and what it paid for that.
//!
//! Invariant: every figure in which a breaker is ahead of ours is named, whatever the reason.

use super::contest::{Contest, Record};

/// One line for each trace and measure in which some breaker is ahead of ours.
pub(super) fn lines(contests: &[Contest]) -> Vec<String> {
    let mut lines = Vec::new();
    for contest in contests {
        let Some((ours, others)) = contest.records.split_first() else { continue };
        for measure in &MEASURES {
            let own = (measure.of)(ours);
            let ahead = others.iter().filter(|other| (measure.of)(other) < own);
            // The one that paid least for it.
            let Some(best) = ahead.min_by_key(|other| price(ours, other)) else { continue };
            let count = others.iter().filter(|other| (measure.of)(other) < own).count();
            lines.push(format!(
                "{}, {}: {} ({} against our {}; {} of {} are ahead) {}; {}",
                contest.trace,
                measure.name,
                best.breaker,
                (measure.of)(best),
                own,
                count,
                others.len(),
                paid(ours, best),
                if contest.is_flapping { FLAPPING } else { measure.because },
            ));
        }
    }
    lines
}

/// A figure of which less is better.
#[derive(Clone, Copy)]
struct Measure {
    name: &'static str,
    of: fn(&Record) -> u64,
    /// What ours does that may put it behind.
    because: &'static str,
}

/// What a breaker did worse than ours, in calls.
fn price(ours: &Record, other: &Record) -> u64 {
    let (ours, other) = (&ours.score, &other.score);
    other.leaked.saturating_sub(ours.leaked) + other.refused_well.saturating_sub(ours.refused_well)
}

fn paid(ours: &Record, other: &Record) -> String {
    let (own, score) = (&ours.score, &other.score);
    let leaked = score.leaked.saturating_sub(own.leaked);
    let refused = score.refused_well.saturating_sub(own.refused_well);
    match (leaked, refused) {
        (0, 0) => "pays nothing for it here".to_owned(),
        (0, refused) => format!("refuses {refused} more to a well endpoint"),
        (leaked, 0) => format!("leaks {leaked} more"),
        (leaked, refused) => {
            format!("leaks {leaked} more and refuses {refused} more to a well endpoint")
        }
    }
}

const MEASURES: [Measure; 5] = [
    Measure {
        name: "detection in ms",
        of: |record| match (record.score.detection_ms, record.score.bad) {
            (Some(milliseconds), _) => milliseconds,
            // Nothing to detect.
            (None, 0) => 0,
            (None, _) => u64::MAX,
        },
        because: "ours wants 95 % confidence in a share, and looks each 100 ms",
    },
    Measure {
        name: "false trips",
        of: |record| record.score.false_trips.into(),
        because: "ours found a share or a run too unlikely to be chance",
    },
    Measure {
        name: "leaked failures",
        of: |record| record.score.leaked,
        because: "ours probes after 1 s first, with up to three calls each time",
    },
    Measure {
        name: "refused though well",
        of: |record| record.score.refused_well,
        because: "ours waits up to 1 min after failed probes, and then returns traffic over 10 s",
    },
    Measure {
        name: "let through half-open",
        of: |record| record.score.most_probes.unwrap_or(u64::MAX),
        because: "ours lets three through",
    },
];
/// A node rule keeps a caller from being refused more than half of its connects; this one has no
/// other endpoint to connect to.
const FLAPPING: &str = "after four trips ours stays open for 30 s and returns traffic over a minute, \
    and no breaker trips while a caller is refused half of its connects";
