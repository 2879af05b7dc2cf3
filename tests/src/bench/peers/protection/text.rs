//! The faults as a chapter.
//!
//! Invariant: each figure is a median over repetitions with the least and the most, and where shedder is
//! behind a peer a line says so.

use super::Figures;
use super::rows::{ROWS, Row};
use super::score::{SLOW_NS, Trial};
use crate::bench::peers::guard::Guard;
use crate::statistics::{Extent, figure};

/// As Markdown.
pub(in super::super) fn chapter(figures: &Figures) -> String {
    let mut text = format!(
        "## Protection\n\n\
         Calls of one connection each, at the rate said, over the backends in turn. *Bad* are calls that failed or \
         were answered after more than {} ms, counted from when they were due. *Shed after* is the time from the \
         beginning of the fault to the last bad call before a calm (half a second, where nothing else is said). \
         *Failed in health* are calls that failed before the fault or after its end: nothing but the guard was \
         wrong with them. *Back after* is the time from the end of the fault until those who were ill answered \
         nine tenths of their share in a second, *rise* the most by which that share grew from one second to the \
         next. Median (least–most) of the repetitions.\n",
        SLOW_NS / 1_000_000
    );
    for row in &ROWS {
        let trials: Vec<&Trial> =
            figures.trials.iter().filter(|trial| trial.row == row.id).collect();
        if !trials.is_empty() {
            text += &section(row, &trials);
        }
    }
    text += "\n### Where shedder is not ahead\n\n";
    let behind: Vec<String> = ROWS.iter().flat_map(|row| behind(row, figures)).collect();
    text += &if behind.is_empty() { "Nowhere.\n".to_owned() } else { behind.concat() };
    text
}

fn section(row: &Row, trials: &[&Trial]) -> String {
    let calls = trials.first().map_or(0, |trial| trial.calls);
    let mut text = format!(
        "\n### {}: {}\n\n{calls} calls at {}/s, wrong from second {} to {}.\n\n\
         | guard | bad calls | of these failed | failed in health | shed after, s | back after, s | rise | p50, ms | p99, ms |\n\
         |---|---|---|---|---|---|---|---|---|\n",
        row.id, row.title, row.rate, row.fault.0, row.fault.1,
    );
    for guard in Guard::ALL {
        let of_guard: Vec<&Trial> =
            trials.iter().copied().filter(|trial| trial.guard == guard).collect();
        if !of_guard.is_empty() {
            text += &line(guard, row, &of_guard);
        }
    }
    text
}

fn line(guard: Guard, row: &Row, trials: &[&Trial]) -> String {
    let counts = |count: &dyn Fn(&Trial) -> u64| {
        extent(trials.iter().map(|trial| Some(figure(count(trial)))).collect(), 0)
    };
    let times = |time: &dyn Fn(&Trial) -> Option<f64>, digits| {
        extent(trials.iter().map(|trial| time(trial)).collect(), digits)
    };
    let returning = |cell: String| if row.ill == 0 { String::new() } else { cell };
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
        guard.name(),
        counts(&|trial| trial.failed + trial.slow),
        counts(&|trial| trial.failed),
        counts(&|trial| trial.failed_in_health),
        times(&|trial| trial.shed_after_s, 1),
        returning(times(&|trial| trial.recovered_after_s, 0)),
        returning(times(&|trial| Some(trial.largest_rise * 100.0), 0) + " %"),
        times(&|trial| Some(trial.p50_ms), 2),
        times(&|trial| Some(trial.p99_ms), 1),
    )
}

/// A median with its ends; "never" where most have none.
fn extent(figures: Vec<Option<f64>>, digits: usize) -> String {
    let all = figures.len();
    let known: Vec<f64> = figures.into_iter().flatten().collect();
    if known.len() * 2 <= all {
        return "never".to_owned();
    }
    let missing = if known.len() < all { ", or never" } else { "" };
    match Extent::of(known) {
        Some(Extent { median, least, most }) if least < most => {
            format!("{median:.digits$} ({least:.digits$}–{most:.digits$}{missing})")
        }
        Some(Extent { median, .. }) => format!("{median:.digits$}{missing}"),
        None => String::new(),
    }
}

/// A line where a peer let no more bad calls through.
fn behind(row: &Row, figures: &Figures) -> Vec<String> {
    let bad = |guard: Guard| {
        let trials = figures.trials.iter().filter(|it| it.row == row.id && it.guard == guard);
        Extent::of(trials.map(|trial| figure(trial.failed + trial.slow)).collect())
    };
    let Some(ours) = bad(Guard::Shedder) else { return Vec::new() };
    let peers = Guard::ALL.into_iter().filter(|guard| guard.product().is_some());
    let (mut fewer, mut as_few) = (Vec::new(), Vec::new());
    for (peer, theirs) in peers.filter_map(|peer| Some((peer, bad(peer)?.median))) {
        if theirs < ours.median {
            fewer.push(format!("{} ({theirs:.0})", peer.name()));
        } else if theirs <= ours.median {
            as_few.push(peer.name());
        }
    }
    let lists = [("fewer", fewer.join(", ")), ("as few", as_few.join(", "))];
    let lists: Vec<String> = lists
        .into_iter()
        .filter(|(_, peers)| !peers.is_empty())
        .map(|(word, peers)| format!("{word} with {peers}"))
        .collect();
    if lists.is_empty() {
        return Vec::new();
    }
    let remark = if row.remark.is_empty() { "Not explained yet." } else { row.remark };
    vec![format!(
        "- **{}** ({:.0} bad calls): {}. {remark}\n",
        row.id,
        ours.median,
        lists.join(", ")
    )]
}
