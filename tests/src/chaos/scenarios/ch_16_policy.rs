//! CH-16: the policy file is swapped by a link, changed without its time changing, and cut off.
//!
//! Invariant: a policy is in force when a connect meets it, not when the daemon says so.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::caller::Caller;
use crate::chaos::bound::{Bound, Finding};
use crate::chaos::ground::{Ground, pause_s, several, wait_until};
use crate::chaos::guard::{Guard, Service, policy};
use crate::chaos::kit::Kit;
use crate::chaos::ledger::count;
use crate::chaos::scenario::Scenario;
use crate::clock::now;

pub(in crate::chaos) const SCENARIO: Scenario = Scenario {
    id: "CH-16",
    title: "the policy file is swapped by symlink, changed under the same time, cut off",
    policy: "default",
    sources: "S4.36 S4.37 S4.48",
    bounds: &[SWAPPED, SAME_TIME, CUT_OFF],
    is_short: false,
    play,
};

const SWAPPED: Bound = Bound::at_most("AT-22", "after the swap, met by a connect after", 2.3, "s");
const SAME_TIME: Bound =
    Bound::at_most("AT-22", "with the same mtime, met by a connect after", 2.3, "s");
const CUT_OFF: Bound =
    Bound::exactly("AT-22", "connects that met another policy while cut off", 0.0, "");

fn play(_kit: &Kit) -> Result<Vec<Finding>> {
    let ground = Ground::new("policy")?;
    let endpoints = several(1, 2, 8080);
    let service = Service { name: "shop", endpoints: &endpoints, more: "", rules: "" };
    let text = policy("", &[ground.cgroup.name()], &[service]);
    let guard = Guard::start(&text)?;
    guard.daemon.succeed(&["trip", &endpoints[0].to_string()])?;
    let mut caller = Caller::spawn_in(&ground.cgroup, &ground.namespace)?;
    let mut refusal = || -> Result<Option<i32>> {
        Ok(caller.call(endpoints[0], Duration::from_secs(1))?.connect_errno())
    };
    let file = guard.daemon.policy_file();
    let directory = file.parent().context("it has one")?.to_owned();
    // The way Kubernetes mounts a file: a link to a link to a directory.
    mount(&directory, "..1", &text)?;
    symlink("..data/shedder.toml", directory.join("link"))?;
    fs::rename(directory.join("link"), &file)?;
    wait_until(now(), 5, || Ok(refusal()? == Some(libc::EHOSTUNREACH)))?
        .context("it is not shed")?;
    // Time for the daemon to have seen the link, so that not this is what it sees.
    pause_s(2)?;

    let swap = now();
    mount(&directory, "..2", &text.replace("EHOSTUNREACH", "ENETUNREACH"))?;
    let swapped = wait_until(swap, 10, || Ok(refusal()? == Some(libc::ENETUNREACH)))?;
    let inside = directory.join("..2/shedder.toml");
    let time = fs::metadata(&inside)?.modified()?;
    let change = now();
    fs::write(&inside, text.replace("EHOSTUNREACH", "ETIMEDOUT"))?;
    fs::File::options().write(true).open(&inside)?.set_modified(time)?;
    let same_time = wait_until(change, 10, || Ok(refusal()? == Some(libc::ETIMEDOUT)))?;
    fs::write(&inside, &text[..text.len() / 2])?;
    let mut other = 0;
    wait_until(now(), 3, || {
        other += usize::from(refusal()? != Some(libc::ETIMEDOUT));
        Ok(false)
    })?;
    let is_told = guard.daemon.status()?.node.reload_error.is_some();
    let cut_off = CUT_OFF.measured(count(other));
    Ok(vec![
        SWAPPED.measured_if(swapped),
        SAME_TIME.measured_if(same_time),
        if is_told { cut_off } else { CUT_OFF.failed("it was not told") },
    ])
}

/// A new version: a directory, and a link that is moved to it.
fn mount(directory: &Path, version: &str, text: &str) -> Result<()> {
    fs::create_dir(directory.join(version))?;
    fs::write(directory.join(version).join("shedder.toml"), text)?;
    symlink(version, directory.join("..data_tmp"))?;
    Ok(fs::rename(directory.join("..data_tmp"), directory.join("..data"))?)
}
