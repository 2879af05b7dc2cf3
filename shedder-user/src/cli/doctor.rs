//! `shedder doctor`: can this node run shedder?

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use procfs::process::Process;

use super::output::{Colour, Paint};
use super::{Failure, Reach};
use crate::config::Source;
use crate::kernel::{Cgroup2, Company, Kernel, LoadError, LoadOptions, ProgramHere, company};
use crate::printable::printable;

/// Find out whether this node can run shedder, and what it would lack.
///
/// Loads every program into the kernel and lets go of them again; attaches nothing. Names the programs
/// of others that run beside shedder's, in their order: on the cgroups of a policy file, or on those a
/// running daemon guards.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    reach: Reach,
    /// Look for programs of others on the cgroups this policy file names
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

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
    pub(super) fn execute(self) -> Result<(), Failure> {
        let paint = Paint::stdout();
        let mut findings = vec![kernel(), types(), cgroup2(), bpffs(), capabilities()];
        findings.extend(programs());
        findings.extend(self.others()?);
        findings.extend(confinement());
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

impl Doctor {
    /// Programs of others beside ours.
    fn others(&self) -> Result<Vec<Finding>, Failure> {
        let Ok(cgroup2) = Cgroup2::find() else { return Ok(Vec::new()) };
        let guarded = self.guarded(&cgroup2)?;
        // What is the same for many is told once.
        let mut companies: BTreeMap<(&str, String), Vec<&str>> = BTreeMap::new();
        for cgroup in &guarded {
            match company(cgroup2.mount(), cgroup) {
                Ok(company) => {
                    for it in company {
                        let alike = companies.entry((it.hook, in_order(cgroup, &it))).or_default();
                        alike.push(cgroup);
                    }
                }
                Err(error) => {
                    let text = format!("the kernel does not tell who runs there: {error}");
                    return Ok(vec![limited("other programs", &text)]);
                }
            }
        }
        if companies.is_empty() && !guarded.is_empty() {
            let text = format!("none beside ours, for {} cgroups", guarded.len());
            return Ok(vec![good("other programs", &text)]);
        }
        let told = companies.iter().map(|((hook, programs), cgroups)| {
            let others = match cgroups.len() {
                1 => String::new(),
                more => format!(" and {} more", more - 1),
            };
            let text = format!("{hook} of {}{others}: {programs}; in this order", cgroups[0]);
            limited("other programs", &printable(&text))
        });
        Ok(told.collect())
    }

    /// What the policy file names, or else what a daemon guards, if there is one.
    fn guarded(&self, cgroup2: &Cgroup2) -> Result<Vec<String>, Failure> {
        let Some(file) = &self.config else {
            let status = self.reach.ask(async |client| client.status(None, None).await);
            let guarded = status.map_or_else(|_none_runs| Vec::new(), |it| it.node.cgroups);
            return Ok(guarded.into_iter().map(|cgroup| cgroup.path).collect());
        };
        let source = Source::new(file, None);
        let content = source.read().map_err(anyhow::Error::from)?;
        let config = source.parse(&content).map_err(anyhow::Error::from)?;
        let patterns = config.callers.iter().flat_map(|caller| &caller.cgroups);
        let found: Result<Vec<_>, _> = patterns.map(|pattern| cgroup2.matching(pattern)).collect();
        Ok(found.map_err(anyhow::Error::from)?.concat())
    }
}

/// Whoever runs for a cgroup, one after the other.
fn in_order(guarded: &str, company: &Company) -> String {
    let program = |(cgroup, program): &(String, ProgramHere)| {
        let place = if cgroup == guarded { String::new() } else { format!(" of {cgroup}") };
        if program.is_ours() {
            format!("shedder{place}")
        } else {
            format!("{} ({}){place}", program.name, program.id)
        }
    };
    let programs: Vec<String> = company.programs.iter().map(program).collect();
    programs.join(", ")
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

/// What a daemon could be held to here.
fn confinement() -> Vec<Finding> {
    let tried = crate::daemon::try_confinement().into_iter();
    tried
        .map(|(what, outcome)| match outcome {
            Ok(text) => good(what, text),
            Err(why) => Finding {
                verdict: Verdict::Limited,
                what,
                text: format!("a daemon is kept from nothing here but by its capabilities: {why}"),
            },
        })
        .collect()
}

fn good(what: &'static str, text: &str) -> Finding {
    Finding { verdict: Verdict::Good, what, text: text.to_owned() }
}

fn limited(what: &'static str, text: &str) -> Finding {
    Finding { verdict: Verdict::Limited, what, text: text.to_owned() }
}
