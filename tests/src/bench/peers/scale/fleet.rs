//! What the figures of one node mean for many.
//!
//! Invariant: every number of the paragraph is reckoned here from figures of the same run, and its
//! formula is told with it.

use std::fmt::Write as _;

use super::growth::Axis;
use super::{Case, Figures};
use crate::statistics::figure;

/// Adds the paragraphs.
pub(super) fn paragraph(text: &mut String, figures: &Figures) {
    let in_one_cgroup = || figures.cases.iter().filter(|case| case.size.cgroups == 1);
    let usual = in_one_cgroup().find(|case| case.size.endpoints == super::MIDDLE);
    let (Some(usual), Some(most)) = (usual, in_one_cgroup().max_by_key(|case| case.size.endpoints))
    else {
        return;
    };
    let fleet = Fleet::of(usual);
    writeln!(
        text,
        "Reckoned for {NODES} nodes with {endpoints} endpoints each, from the row with one cgroup. Each daemon is \
         alone with its node: none asks another, so nothing in the daemon grows with the fleet. What adds up:\n\n\
         - series: {series} × {NODES} = {all:.2} million; read every {SCRAPE_SECONDS} s that is / \
         {SCRAPE_SECONDS} = {samples:.0} thousand samples a second, and {page} bytes × {NODES} / \
         {SCRAPE_SECONDS} = {bytes:.0} MB/s of text\n\
         - processor time: {share:.4} of a core × {NODES} = {cores:.1} cores, × 24 h = {hours:.0} core-hours a day\n\
         - memory: ({resident:.1} MB + {maps:.1} MB of maps) × {NODES} = {memory:.1} GB\n\
         - journals: {episode} bytes for a breaker that opens and closes, so an outage of one endpoint writes \
         {episode} × {NODES} = {written:.1} MB, on the disks of the nodes; a journal has {limit:.0} MB at most, \
         × {NODES} = {full:.2} TB\n",
        endpoints = usual.size.endpoints,
        series = usual.series,
        all = fleet.series / 1e6,
        samples = fleet.samples_a_second / 1e3,
        page = usual.page_bytes,
        bytes = fleet.text_a_second / 1e6,
        share = usual.idle.share(),
        cores = fleet.cores,
        hours = fleet.cores * 24.0,
        resident = figure(usual.resident_bytes) / 1e6,
        maps = figure(usual.map_bytes) / 1e6,
        memory = fleet.memory / 1e9,
        episode = usual.episode_bytes,
        written = figure(usual.episode_bytes) * f64::from(NODES) / 1e6,
        limit = figure(figures.journal_limit) / 1e6,
        full = figure(figures.journal_limit) * f64::from(NODES) / 1e12,
    )
    .expect(TO_A_STRING);
    breaks_first(text, figures, &fleet, most);
}

/// The only thing that comes together in one place, and then what a single node is stopped by.
fn breaks_first(text: &mut String, figures: &Figures, fleet: &Fleet, most: &Case) {
    let bound = if most.size.endpoints > super::MIDDLE {
        format!(
            ": with {} endpoints, {:.0} times as many, it has {:.2} times as many series",
            most.size.endpoints,
            f64::from(most.size.endpoints) / f64::from(super::MIDDLE),
            figure(most.series) / fleet.series * f64::from(NODES)
        )
    } else {
        String::new()
    };
    writeln!(
        text,
        "What breaks first is whoever reads the metrics: it is the one place where all nodes meet. Processor time, \
         memory and journals stay with the nodes, {:.4} of a core on each. Whoever cannot hold {:.2} million series \
         lowers `metrics_endpoints`, which bounds the series of a node{bound}.\n",
        fleet.cores / f64::from(NODES),
        fleet.series / 1e6,
    )
    .expect(TO_A_STRING);
    let looks = Axis::endpoints(figures);
    let (tick_us, slots) = (figure(figures.tick_ms) * 1e3, shedder_common::map::MAX_SLOTS);
    let Some(each) =
        looks.added_by_each(|case| Some(case.idle.look_us())).filter(|each| *each > 0.0)
    else {
        return;
    };
    let filling = tick_us / each;
    let first = if filling > f64::from(slots) { "the slots run out" } else { "the tick is full" };
    writeln!(
        text,
        "On a single node {first} first: each endpoint adds {:.1} ns to a look, so that looks would fill a tick of \
         {} ms with {:.0} ms / {:.1} ns = {filling:.0} endpoints, and there are {slots} slots.",
        each * 1e3,
        figures.tick_ms,
        tick_us / 1e3,
        each * 1e3
    )
    .expect(TO_A_STRING);
}

/// What adds up.
#[derive(Debug)]
struct Fleet {
    series: f64,
    samples_a_second: f64,
    /// Bytes.
    text_a_second: f64,
    cores: f64,
    /// Bytes, of processes and maps.
    memory: f64,
}

impl Fleet {
    fn of(node: &Case) -> Self {
        let nodes = f64::from(NODES);
        let series = figure(node.series) * nodes;
        Self {
            series,
            samples_a_second: series / SCRAPE_SECONDS,
            text_a_second: figure(node.page_bytes) * nodes / SCRAPE_SECONDS,
            cores: node.idle.share() * nodes,
            memory: figure(node.resident_bytes + node.map_bytes) * nodes,
        }
    }
}

const NODES: u32 = 10_000;
/// How often metrics are taken to be read: what monitoring is often set to, not a figure of ours.
const SCRAPE_SECONDS: f64 = 15.0;
const TO_A_STRING: &str = "writing to a string cannot fail";
