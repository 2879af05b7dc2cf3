//! All scenarios, in the order in which they are played.
//!
//! Invariant: each has a file of its own and an id of its own.

use super::scenario::Scenario;

mod at_11_cost;
mod at_15_sale_day;
mod at_23_cancel_storm;
mod at_25_hold;
mod at_26_load;
mod ch_01_chaos_loop;
mod ch_02_delay;
mod ch_03_partition;
mod ch_04_explosion;
mod ch_05_avalanche;
mod ch_06_eviction;
mod ch_07_schedule;
mod ch_08_slow_store;
mod ch_09_zone_down;
mod ch_10_packet_loss;
mod ch_11_slow_drip;
mod ch_12_gives_up;
mod ch_13_stale_pool;
mod ch_14_ports;
mod ch_15_death;
mod ch_16_policy;
mod ch_17_lock_wait;
mod ch_18_stopped_caller;
mod ch_19_pulse;
mod ch_20_half_open_race;

/// All there are.
pub(super) const ALL: &[Scenario] = &[
    ch_01_chaos_loop::SCENARIO,
    ch_02_delay::SCENARIO,
    ch_03_partition::SCENARIO,
    ch_04_explosion::SCENARIO,
    ch_05_avalanche::SCENARIO,
    ch_06_eviction::SCENARIO,
    ch_07_schedule::SCENARIO,
    ch_08_slow_store::SCENARIO,
    ch_09_zone_down::SCENARIO,
    ch_10_packet_loss::SCENARIO,
    ch_11_slow_drip::SCENARIO,
    ch_12_gives_up::SCENARIO,
    ch_13_stale_pool::SCENARIO,
    ch_14_ports::SCENARIO,
    ch_15_death::SCENARIO,
    ch_16_policy::SCENARIO,
    ch_17_lock_wait::SCENARIO,
    ch_18_stopped_caller::SCENARIO,
    ch_19_pulse::SCENARIO,
    ch_20_half_open_race::SCENARIO,
    at_11_cost::SCENARIO,
    at_15_sale_day::SCENARIO,
    at_23_cancel_storm::SCENARIO,
    at_25_hold::SCENARIO,
    at_26_load::SCENARIO,
];
