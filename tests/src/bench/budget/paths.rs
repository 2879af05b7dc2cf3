//! How long a run takes on the paths that matter.
//!
//! Invariant: the operations are those of `bench connect`, so that the figures of both can be compared.

use anyhow::{Context, Result};

use super::figure::Measured;
use crate::bench::connect::comparison::{
    ALLOWED_CONNECT, ALLOWED_CONNECT_BY_IPV6, Arm, REFUSED_CONNECT, REQUEST,
};
use crate::bench::connect::programs;
use crate::bench::connect::stage::Stage;
use crate::bench::ground::Ground;
use crate::bench::own_programs::OwnPrograms;
use crate::cgroup::Cgroup;

/// Measures every path, for a client in `cgroup`.
pub(super) fn measure(
    ground: &Ground,
    cgroup: &Cgroup,
    operations: usize,
) -> Result<Vec<Measured>> {
    let mut stage = Stage::set(ground, cgroup)?;
    let own = OwnPrograms::find()?;
    let mut measured = Vec::new();
    for (arm, paths) in PATHS {
        let shares = programs::of_arm(&mut stage, &own, arm, operations)?;
        for (program, path) in *paths {
            let share = shares
                .iter()
                .find(|share| share.hook == *program && share.runs_per_operation > 0.0)
                .with_context(|| format!("{program} did not run for {path}"))?;
            measured.push(Measured::nanoseconds(program, path, share.nanoseconds_per_run));
        }
    }
    Ok(measured)
}

/// Operations, and which path of which program they take.
const PATHS: &[(&Arm, &[(&str, &str)])] = &[
    (
        &ALLOWED_CONNECT,
        &[
            ("connect4", "allowed"),
            ("sockops", "connect_and_close"),
            ("ingress", "without_payload"),
            ("egress", "without_payload"),
        ],
    ),
    (&REFUSED_CONNECT, &[("connect4", "refused")]),
    (&ALLOWED_CONNECT_BY_IPV6, &[("connect6", "allowed")]),
    (&REQUEST, &[("ingress", "with_payload"), ("egress", "with_payload")]),
];
