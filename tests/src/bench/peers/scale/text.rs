//! The figures of scale as a chapter.
//!
//! Invariant: each number is a figure that was measured, or its formula stands beside it.

use std::fmt::Write as _;

use super::growth::{Axis, QUANTITIES};
use super::{Busy, Case, Figures, Shape, fleet};
use crate::statistics::{Spread, figure};

/// The figures as a chapter in Markdown.
pub(in crate::bench::peers) fn chapter(figures: &Figures) -> String {
    let mut text = String::from("## How it grows\n\n");
    text.push_str(
        "Each row is a daemon of its own, started with a policy that lists so many addresses (`max_endpoints` is \
         as many, all else as it is by default) for processes in so many cgroups.\n\n",
    );
    sizes(&mut text, figures);
    text.push_str("\n### With how many endpoints, with how many cgroups\n\n");
    exponents(&mut text, figures);
    text.push_str("\n### What a cgroup costs\n\n");
    attaching(&mut text, figures);
    text.push_str("\n### A fleet\n\n");
    fleet::paragraph(&mut text, figures);
    caveats(&mut text, figures);
    text
}

fn sizes(text: &mut String, figures: &Figures) {
    text.push_str(
        "| endpoints | cgroups | callers | start until it guards ms | look µs | CPU idle % of a core | look while 1 % is called µs | CPU while 1 % is called % | memory MiB | maps MiB | series |\n\
         |---:|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for case in &figures.cases {
        let busy = |of: &dyn Fn(&Busy) -> String| {
            case.busy.as_ref().map_or_else(|| String::from("not measured"), of)
        };
        writeln!(
            text,
            "| {} | {} | {} | {:.0} | {:.0} | {:.2} | {} | {} | {:.1} | {:.1} | {} |",
            case.size.endpoints,
            case.size.cgroups,
            case.size.shape.name(),
            case.start_ms(),
            case.idle.look_us(),
            case.idle.share() * 100.0,
            busy(&|busy| format!("{:.0}", busy.effort.look_us())),
            busy(&|busy| format!("{:.2}", busy.effort.share() * 100.0)),
            mebibytes(case.resident_bytes),
            mebibytes(case.map_bytes),
            case.series
        )
        .expect(TO_A_STRING);
    }
}

fn exponents(text: &mut String, figures: &Figures) {
    text.push_str(
        "What a figure adds to its floor grows with the size to the power of the exponent: 0 is not at all, 1 in \
         proportion. The floor is the figure with one endpoint in one cgroup, or with one cgroup and the same \
         endpoints. Only sizes at which the figure is above its floor by a tenth count. The exponent is the \
         slope of the least-squares line through the logarithms of the size and of what was added.\n\n\
         | figure | with endpoints | each adds | with cgroups | each adds |\n|---|---|---:|---|---:|\n",
    );
    for quantity in QUANTITIES {
        let by_endpoints = Axis::endpoints(figures);
        let by_cgroups = Axis::cgroups(figures);
        writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            quantity.name,
            by_endpoints.exponent(quantity.of),
            by_endpoints.each(quantity),
            by_cgroups.exponent(quantity.of),
            by_cgroups.each(quantity)
        )
        .expect(TO_A_STRING);
    }
}

fn attaching(text: &mut String, figures: &Figures) {
    let Some(floor) = figures.floor_of_cgroups() else { return };
    for case in figures.cases.iter().filter(|case| case.size.is_about_cgroups()) {
        let cgroups = u64::from(case.size.cgroups);
        let each = (case.start_ms() - floor.start_ms()) / figure(cgroups.saturating_sub(1).max(1));
        let more = cgroups.saturating_sub(1);
        let told = if each > 0.0 {
            format!("{each:.2} ms each")
        } else {
            String::from("less than can be told apart")
        };
        writeln!(
            text,
            "- {cgroups} cgroups, {}: ({:.0} ms − {:.0} ms) / {more} = {told}; of the loop ({:.4} − {:.4}) of a core \
             × {} ms = {:.1} ms for each search",
            case.size.shape.name(),
            case.start_ms(),
            floor.start_ms(),
            case.idle.loop_share(),
            floor.idle.loop_share(),
            figures.rescan_ms,
            (case.idle.loop_share() - floor.idle.loop_share()) * figure(figures.rescan_ms)
        )
        .expect(TO_A_STRING);
    }
    writeln!(
        text,
        "\nThe first is the start with so many less the start with one, and so all that a cgroup brings. The second \
         is what more cgroups cost the loop while nobody calls, if all of it falls to the search for new cgroups, \
         every {} ms. While the loop searches it decides nothing.",
        figures.rescan_ms
    )
    .expect(TO_A_STRING);
}

fn caveats(text: &mut String, figures: &Figures) {
    let Some(floor) = figures.cases.first() else { return };
    writeln!(
        text,
        "\nWhat to know about these figures:\n\n\
         - *A look* is the processor time of the daemon's loop, divided by the looks there were meanwhile. Both \
         are the kernel's account: the time its scheduler counts for the thread, and the changes of the time \
         until which verdicts hold, which the daemon writes at each look. The rest of what the loop does is in it: \
         it looks for new cgroups every {} ms, which shows where there are many. Here there were {:.1} ms \
         from look to look, and the tick is {} ms.\n\
         - *CPU* is that of all threads of the daemon, and so includes that the policy file is read twice a second. \
         With listed endpoints it is long; whoever writes a network instead has a short one.\n\
         - *While 1 % is called* a process connects to a hundredth of the endpoints in each tick, and to others in \
         the next; each connect succeeds and ends at once. With a caller for each cgroup it was not measured.\n\
         - *The start* is taken from the start of the process until its socket answers, which is looked for every \
         5 ms; the median of {} starts.\n\
         - *Maps* is what the kernel accounts to the maps the daemon has open (`memlock`). They are made at the \
         start, for as many endpoints as there can be, called or not. *Memory* is what the daemon's process has \
         resident; the programs and links of the cgroups are in neither.\n\
         - Cgroups that share a caller share its breakers. Where each is a caller, there is a breaker for each \
         endpoint of each.",
        figures.rescan_ms,
        floor.idle.between_looks_us() / 1e3,
        figures.tick_ms,
        floor.starts_ns.len()
    )
    .expect(TO_A_STRING);
}

impl Case {
    /// The median of the starts, milliseconds.
    pub(super) fn start_ms(&self) -> f64 {
        let starts = self.starts_ns.iter().map(|start| figure(*start) / 1e6).collect();
        Spread::of(starts).map_or(0.0, |starts| starts.median)
    }
}

impl Shape {
    const fn name(self) -> &'static str {
        match self {
            Self::OneCaller => "one for all",
            Self::CallerEach => "one each",
        }
    }
}

fn mebibytes(bytes: u64) -> f64 {
    figure(bytes) / (1024.0 * 1024.0)
}

const TO_A_STRING: &str = "writing to a string cannot fail";
