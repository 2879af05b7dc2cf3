//! What shedder promises, against the real kernel: a real daemon, real callers in cgroups of their
//! own, real backends. Needs root.
//!
//! Invariant: every test makes its own cgroups, backends and daemon, so all run at once.

mod actions;
mod bad_input;
mod bench;
mod budget;
mod bursts;
mod control;
mod dashboard;
mod death;
mod decision;
mod docs;
mod endings;
mod established;
mod evidence;
mod explain;
mod fast_open;
mod following;
mod footprint;
mod forgetting;
mod guarding;
mod half_open;
mod handover;
mod histogram;
mod identity;
mod in_flight;
mod isolation;
mod journal;
mod journal_trouble;
mod kinds;
mod limits;
mod measures;
mod metrics;
mod networks;
mod otlp;
mod pages;
mod ports;
mod prometheus;
mod protocols;
mod record;
mod reguarding;
mod reload;
mod reuse;
mod rollout;
mod scene;
mod sockets;
mod supervisor;
mod syn_count;
mod throttled;
mod top;
mod trips;
mod udp;
mod watching;
mod web_api;
mod why;
