//! The system tools the kernel tests call.
//!
//! Invariant: only tests need them; building and running shedder does not.

use anyhow::{Result, bail};

use super::servers::{self, HAPROXY, NGINX, NGINX_WITH_STREAM, POSTGRESQL, REDIS};
use super::{chromium, debian, envoy, prometheus, rotel};
use crate::process;
use crate::step::{Change, Done, Report};

/// Find the tools, or install them.
pub(crate) fn ensure(report: Report) -> Result<()> {
    let others = [prometheus::ensure(report), chromium::ensure(report), rotel::ensure(report)];
    let servers = [&NGINX, &REDIS].map(|server| servers::ensure(report, server));
    let tools = [&NETWORK[..], &TOOLS];
    all(tools.into_iter().flat_map(|tools| ensure_each(report, tools)).chain(others).chain(servers))
}

/// Find what chaos plays with, or install it.
pub(crate) fn ensure_for_chaos(report: Report) -> Result<()> {
    let servers = [&NGINX, &REDIS, &POSTGRESQL].map(|server| servers::ensure(report, server));
    let tools = [&NETWORK[..], &TOOLS, &CALLERS];
    all(tools.into_iter().flat_map(|tools| ensure_each(report, tools)).chain(servers))
}

/// Find what shedder is measured beside, or unpack it.
pub(crate) fn ensure_for_peers(report: Report) -> Result<()> {
    let servers = [&HAPROXY, &NGINX_WITH_STREAM].map(|server| servers::ensure(report, server));
    all(ensure_each(report, &NETWORK).chain([envoy::ensure(report)]).chain(servers))
}

fn ensure_each(report: Report, tools: &[Tool]) -> impl Iterator<Item = Result<()>> {
    tools.iter().map(move |tool| report.step(tool.program, || ensure_tool(tool)))
}

/// All of them are looked for, whatever is missing.
fn all(outcomes: impl Iterator<Item = Result<()>>) -> Result<()> {
    let problems: Vec<String> =
        outcomes.filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    if problems.is_empty() {
        return Ok(());
    }
    bail!("{}", problems.join("\n\n"))
}

fn ensure_tool(tool: &Tool) -> Result<Done<()>> {
    if let Some(path) = process::find(tool.program) {
        return Ok(Done { value: (), change: Change::None, detail: path.display().to_string() });
    }
    let Tool { program, package, why } = tool;
    let installed = debian::install(&[package], &format!("installing {package}"));
    match (installed, process::find(program)) {
        (Ok(()), Some(path)) => {
            Ok(Done { value: (), change: Change::Installed, detail: path.display().to_string() })
        }
        (Ok(()), None) => bail!("package {package} is installed but brought no program {program}"),
        (Err(error), _) => bail!(
            "the program {program} is missing: {why}\n\
             tried:\n  apt-get: {error:#}\n\
             install it with\n  sudo apt-get update && sudo apt-get install -y {package}\n\
             or your distribution's package that has {program}, and run this again"
        ),
    }
}

#[derive(Debug)]
struct Tool {
    program: &'static str,
    package: &'static str,
    why: &'static str,
}

const NETWORK: [Tool; 2] = [
    Tool {
        program: "ip",
        package: "iproute2",
        why: "the kernel tests make network namespaces and veth pairs with it",
    },
    Tool {
        program: "nft",
        package: "nftables",
        why: "the kernel tests drop and reject packets with it, to be the faulty network",
    },
];

const TOOLS: [Tool; 4] = [
    Tool {
        program: "systemctl",
        package: "systemd",
        why: "the tests run the unit that is shipped under a systemd of their own",
    },
    Tool {
        program: "tmux",
        package: "tmux",
        why: "the tests of `shedder top` watch it on a terminal as people have it",
    },
    Tool { program: "curl", package: "curl", why: "the short chaos calls real servers with it" },
    Tool {
        program: "python3",
        package: "python3",
        why: "the short chaos calls real servers with it",
    },
];

const CALLERS: [Tool; 4] = [
    Tool { program: "node", package: "nodejs", why: "chaos calls real servers with it" },
    Tool {
        program: "java",
        package: "default-jdk-headless",
        why: "chaos calls real servers with it",
    },
    Tool {
        program: "javac",
        package: "default-jdk-headless",
        why: "chaos compiles a caller with it",
    },
    Tool {
        program: "mkfs.ext4",
        package: "e2fsprogs",
        why: "chaos makes a disk that freezes with it",
    },
];
