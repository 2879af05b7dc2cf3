//! The daemon and the command line of shedder.
//!
//! Data goes one way round: [`kernel`] samples → [`engine`] decides → [`daemon`] publishes through
//! [`kernel`] → [`api`] and [`cli`] show. Only `kernel` touches maps, only `clock` reads a clock.
//! [`metrics`], [`web`] and [`telemetry`] show it to other programs. [`simulation`] puts a model in the place of the kernel and of time.

pub mod api;
pub mod cli;
pub mod clock;
pub mod config;
mod conversation;
pub mod daemon;
mod directory;
#[cfg(test)]
mod docs;
pub mod engine;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod kernel;
mod leash;
pub mod metrics;
mod outpost;
mod picture;
mod printable;
mod readable;
pub mod recording;
pub mod replay;
pub mod simulation;
mod stop;
pub mod telemetry;
mod verdict_row;
pub mod web;
