//! A change of the policy file is seen, however it comes about (AT-22, CH-16), and only when it is whole.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use shedder_tests::backend::Behaviour;
use shedder_tests::cgroup::Cgroup;

use shedder_tests::daemon::{Daemon, Events};
use shedder_user::api::model::EventKind;
use shedder_user::clock;

use crate::reload::{UNWATCHED, write};
use crate::scene::{LASTING, PATIENCE, backend, caller, open, policy, wait_for};

/// Opens for nine minutes instead of ten.
fn shorter(text: &str) -> String {
    text.replace("base = \"10m\"", "base = \"9m\"")
}

fn wait_for_reload(events: &Events) -> (u32, Vec<String>) {
    let reloaded = events.wait_for(|event| {
        let EventKind::Reloaded { generation, changes, .. } = &event.kind else { return None };
        Some((*generation, changes.clone()))
    });
    reloaded.expect("it is taken up")
}

fn wait_for_failure(events: &Events) -> String {
    let failed = events.wait_for(|event| {
        let EventKind::ReloadFailed { error, .. } = &event.kind else { return None };
        Some(error.clone())
    });
    failed.expect("it is told")
}

/// Whether connects to `endpoint` are shed, by an opening that no reload has touched.
fn is_open(daemon: &Daemon, endpoint: SocketAddr) -> bool {
    let breaker = daemon.breaker(endpoint).expect("it has one");
    (breaker.state.as_str(), breaker.level, breaker.verdict.action.as_str()) == ("open", 1, "deny")
}

/// A new version the way Kubernetes mounts one: a directory, and a link that is moved to it.
fn mount(directory: &Path, version: &str, text: &str) {
    fs::create_dir(directory.join(version)).expect("it is ours");
    fs::write(directory.join(version).join("shedder.toml"), text).expect("it is ours");
    symlink(version, directory.join("..data_tmp")).expect("it is ours");
    fs::rename(directory.join("..data_tmp"), directory.join("..data")).expect("it is ours");
}

fn text(cgroup: &Cgroup, endpoint: SocketAddr) -> String {
    policy(cgroup, &[endpoint], LASTING)
}

#[test]
fn a_configmap_is_followed_from_version_to_version() {
    let (mut caller, cgroup) = caller("watch-link");
    let sick = backend(Behaviour::Refuse);
    let text = text(&cgroup, sick.addr());
    let daemon = Daemon::start(&text).expect("it starts");
    let file = daemon.policy_file();
    let directory = file.parent().expect("it has one");
    mount(directory, "..1", &text);
    // From now on the file is a link to a link.
    symlink("..data/shedder.toml", directory.join("link")).expect("it is ours");
    fs::rename(directory.join("link"), &file).expect("it is ours");
    let events = open(&daemon, &mut caller, sick.addr());
    let texts = [shorter(&text), text.clone(), shorter(&text)];
    for (version, text) in (2..).zip(&texts) {
        let swapped = clock::now();
        mount(directory, &format!("..{version}"), text);
        let reloaded = wait_for_reload(&events);
        assert_eq!(reloaded, (version, vec!["policy app:db: open changed".to_owned()]));
        let took = clock::now().since(swapped);
        assert!(took < SOON, "{took:?}");
        fs::remove_dir_all(directory.join(format!("..{}", version - 1))).expect("it is ours");
        assert!(is_open(&daemon, sick.addr()));
    }
}

/// Neither the time of the file nor its size, number or name tell.
#[test]
fn an_edit_in_place_that_keeps_size_and_time_is_seen() {
    let (_caller, cgroup) = caller("watch-time");
    let text = text(&cgroup, backend(Behaviour::Healthy).addr());
    let daemon = Daemon::start(&text).expect("it starts");
    let events = daemon.events().expect("it answers");
    let file = File::options().write(true).open(daemon.policy_file()).expect("it exists");
    let before = file.metadata().expect("it exists");
    let edited = text.replace("consecutive = 3", "consecutive = 4");
    std::os::unix::fs::FileExt::write_all_at(&file, edited.as_bytes(), 0).expect("it is ours");
    file.set_modified(before.modified().expect("it has one")).expect("it is ours");
    let after = fs::metadata(daemon.policy_file()).expect("it exists");
    assert_eq!((after.len(), after.modified().ok()), (before.len(), before.modified().ok()));
    assert_eq!(wait_for_reload(&events), (2, vec!["policy app:db: trip changed".to_owned()]));
}

#[test]
fn a_file_that_is_cut_off_or_gone_changes_nothing_and_is_told_of_once() {
    let (mut caller, cgroup) = caller("watch-cut");
    let sick = backend(Behaviour::Refuse);
    let text = text(&cgroup, sick.addr());
    let daemon = Daemon::start(&text).expect("it starts");
    let events = open(&daemon, &mut caller, sick.addr());
    let file = daemon.policy_file();
    let cut_off = text.find("caller = ").expect("it has a policy");
    let line = text[..cut_off].lines().count();
    let half = &text[..cut_off];
    for (content, complaint) in [
        (Some(""), "no [[policy]]: nothing would be guarded".to_owned()),
        (Some(half), format!("{}:{line}:", file.display())),
        (None, "cannot be read".to_owned()),
    ] {
        match content {
            Some(content) => fs::write(&file, content).expect("it is ours"),
            None => fs::remove_file(&file).expect("it is ours"),
        }
        let told = wait_for_failure(&events);
        assert!(told.contains(&complaint), "{told}");
        assert!(is_open(&daemon, sick.addr()));
    }
    // Nothing in it is different from what is in force all the time.
    write(&daemon, &text);
    wait_for("the complaint is withdrawn", || {
        daemon.status().expect("it answers").node.reload_error.is_none()
    });
    assert_eq!(daemon.status().expect("it answers").node.generation, 1);
    write(&daemon, &shorter(&text));
    wait_for_reload(&events);
    let past = daemon.succeed(&["events"]).expect("it answers");
    assert_eq!(past.matches("policy file not taken up").count(), 3, "{past}");
    assert!(is_open(&daemon, sick.addr()));
}

/// A terminal that closes sends it as well.
#[test]
fn sighup_has_the_file_read_again_and_stops_nothing() {
    let (mut caller, cgroup) = caller("watch-hup");
    let healthy = backend(Behaviour::Healthy);
    let text = format!("{UNWATCHED}{}", text(&cgroup, healthy.addr()));
    let daemon = Daemon::start(&text).expect("it starts");
    let events = daemon.events().expect("it answers");
    daemon.succeed(&["trip", &healthy.addr().to_string()]).expect("root");
    write(&daemon, &shorter(&text));
    daemon.signal(libc::SIGHUP);
    assert_eq!(wait_for_reload(&events).0, 2);
    write(&daemon, "nonsense");
    daemon.signal(libc::SIGHUP);
    assert!(wait_for_failure(&events).contains(":1:"));
    assert!(!caller.call(healthy.addr(), PATIENCE).expect("it lives").answered());
    // What is watched from now on is seen without a signal.
    let watched = text.replace("watch = false", "watch = true");
    write(&daemon, &watched);
    daemon.signal(libc::SIGHUP);
    assert_eq!(wait_for_reload(&events).0, 3);
    write(&daemon, &shorter(&watched));
    assert_eq!(wait_for_reload(&events).0, 4);
}

/// AT-22.
const SOON: Duration = Duration::from_millis(2300);
