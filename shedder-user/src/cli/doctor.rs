//! `shedder doctor`: can this node run shedder?

use std::path::Path;

use clap::Args;
use procfs::process::Process;

use super::Failure;
use super::output::{Colour, Paint};
use crate::kernel::{Cgroup2, Kernel, LoadError, LoadOptions};

/// Find out whether this node can run shedder, and what it would lack.
///
/// Loads every program into the kernel and lets go of them again; attaches nothing.
#[derive(Debug, Args)]
pub(super) struct Doctor {}

/// How one finding came out.
enum Verdict {
    /// As it should be.
    Good,
    /// It works, with a restriction.
    Limited,
    /// Shedder cannot run.
    Bad,
}

struct Finding {
    verdict: Verdict,
    what: &'static str,
    text: String,
}

impl Doctor {
    #[expect(clippy::unused_self, reason = "as every subcommand; it has no options yet")]
    pub(super) fn execute(self) -> Result<(), Failure> {
        let paint = Paint::stdout();
        let mut findings = vec![kernel(), types(), cgroup2(), bpffs(), capabilities()];
        findings.extend(programs());
        for Finding { verdict, what, text } in &findings {
            let mark = match verdict {
                Verdict::Good => paint.apply(Colour::Green, "ok  "),
                Verdict::Limited => paint.apply(Colour::Yellow, "note"),
                Verdict::Bad => paint.apply(Colour::Red, "BAD "),
            };
            println!("{mark}  {what}: {text}");
        }
        let bad = findings.iter().filter(|finding| matches!(finding.verdict, Verdict::Bad)).count();
        if bad > 0 {
            return Err(
                anyhow::anyhow!("this node cannot run shedder: {bad} findings are bad").into()
            );
        }
        println!("This node can run shedder.");
        Ok(())
    }
}

fn kernel() -> Finding {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    Finding {
        verdict: Verdict::Good,
        what: "kernel",
        text: format!("Linux {release}; what it can do is tried out below"),
    }
}

fn types() -> Finding {
    if Path::new("/sys/kernel/btf/vmlinux").exists() {
        good("types", "the kernel publishes its types (BTF)")
    } else {
        let text = "no BTF: some failures will look alike; a kernel with CONFIG_DEBUG_INFO_BTF=y tells them apart";
        Finding { verdict: Verdict::Limited, what: "types", text: text.to_owned() }
    }
}

fn cgroup2() -> Finding {
    match Cgroup2::find() {
        Ok(cgroup2) => good("cgroup2", &format!("mounted at {}", cgroup2.mount().display())),
        Err(error) => Finding { verdict: Verdict::Bad, what: "cgroup2", text: error.to_string() },
    }
}

fn bpffs() -> Finding {
    let mounted = Process::myself().and_then(|process| process.mountinfo());
    let found = mounted.ok().and_then(|mounts| {
        mounts.0.into_iter().find(|mount| mount.fs_type == "bpf").map(|mount| mount.mount_point)
    });
    match found {
        Some(path) => good("bpffs", &format!("mounted at {}", path.display())),
        None => Finding {
            verdict: Verdict::Limited,
            what: "bpffs",
            text: "not mounted: --detach-on-exit=false needs it; mount -t bpf bpf /sys/fs/bpf"
                .to_owned(),
        },
    }
}

fn capabilities() -> Finding {
    match crate::daemon::require_privileges() {
        Ok(()) => good("capabilities", "enough to load and attach"),
        Err(error) => {
            Finding { verdict: Verdict::Bad, what: "capabilities", text: format!("{error:#}") }
        }
    }
}

/// Tries every program, then what ends connections, and the timer a hold needs.
fn programs() -> Vec<Finding> {
    let mut kernel =
        match Kernel::load(&LoadOptions { slots: 64, round_trips: false, debug: false }) {
            Ok(kernel) => kernel,
            Err(error) => {
                let text = if let LoadError::Program { hook, source, .. } = &error {
                    format!("the kernel refuses {hook}: {source}")
                } else {
                    error.to_string()
                };
                return vec![Finding { verdict: Verdict::Bad, what: "programs", text }];
            }
        };
    let hooks = "connect, sendmsg, recvmsg, getpeername, sockops, ingress and egress are accepted by the kernel";
    let mut findings = vec![good("programs", hooks)];
    for degradation in kernel.features().degradations() {
        let text = degradation.to_string();
        findings.push(Finding { verdict: Verdict::Limited, what: "feature", text });
    }
    if kernel.features().connections.is_ok() {
        findings.push(good("connections", "established ones can be ended, as one was"));
    }
    findings.push(match kernel.jiffies_per_second() {
        Some(per_second) => good(
            "timer",
            &format!("{per_second} jiffies a second: a hold is exact to {} ms", 1000 / per_second),
        ),
        None => Finding {
            verdict: Verdict::Limited,
            what: "timer",
            text: "its frequency cannot be measured: action = \"delay\" is not available"
                .to_owned(),
        },
    });
    findings
}

fn good(what: &'static str, text: &str) -> Finding {
    Finding { verdict: Verdict::Good, what, text: text.to_owned() }
}
