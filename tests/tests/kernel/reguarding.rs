//! The policy file changes while the daemon runs: which cgroups are guarded, as whom, by which programs.

use shedder_tests::attached::{Hook, programs};
use shedder_tests::backend::Behaviour;
use shedder_tests::bpf_fs::BpfFs;
use shedder_tests::cgroup::Cgroup;
use shedder_tests::daemon::Daemon;

use crate::reload::{UNWATCHED, reload, unwatched, write};
use crate::scene::{LASTING, PATIENCE, assert_all_answered, backend, caller, policy_for, wait_for};

#[test]
fn cgroups_are_let_go_taken_in_and_handed_over() {
    let [(mut first, here), (mut second, there)] = ["reload-old", "reload-new"].map(caller);
    let healthy = backend(Behaviour::Healthy);
    let text = |callers: &[(&str, &Cgroup)]| {
        format!("{UNWATCHED}{}", policy_for(callers, &[healthy.addr()], LASTING))
    };
    let daemon = Daemon::start(&text(&[("app", &here)])).expect("it starts");
    daemon.succeed(&["trip", &healthy.addr().to_string()]).expect("root");
    assert!(!first.call(healthy.addr(), PATIENCE).expect("it lives").answered());
    let said = reload(&daemon, &text(&[("app", &there)]));
    assert_eq!((said.changes.len(), said.breakers.kept), (2, 1), "{said:?}");
    assert_all_answered(&first.call_many(healthy.addr(), 3, PATIENCE).expect("it lives"));
    assert!(!second.call(healthy.addr(), PATIENCE).expect("it lives").answered());
    assert_eq!(programs(&here, Hook::Connect4).expect("root"), 0);
    // The cgroup of one caller becomes another's: its connects obey the other's breakers.
    reload(&daemon, &text(&[("app", &here), ("job", &there)]));
    assert_all_answered(&second.call_many(healthy.addr(), 3, PATIENCE).expect("it lives"));
    assert!(!first.call(healthy.addr(), PATIENCE).expect("it lives").answered());
    let cgroups = daemon.status().expect("it answers").node.cgroups;
    let owners: Vec<_> =
        cgroups.iter().map(|cgroup| (cgroup.path.as_str(), cgroup.caller.as_str())).collect();
    assert!(owners.contains(&(here.name(), "app")), "{owners:?}");
    assert!(owners.contains(&(there.name(), "job")), "{owners:?}");
}

/// Two sets of programs on one path would count and decide twice.
#[test]
fn a_wider_and_a_narrower_cgroup_take_each_others_place() {
    let outer = Cgroup::new("reload-wide").expect("a cgroup");
    let inner = outer.child("inner").expect("a cgroup");
    let mut caller = shedder_tests::caller::Caller::spawn(&inner).expect("a caller starts");
    let healthy = backend(Behaviour::Healthy);
    let [wide, narrow] =
        [&outer, &inner].map(|cgroup| unwatched(cgroup, &[healthy.addr()], LASTING));
    let daemon = Daemon::start(&narrow).expect("it starts");
    for (round, text) in (1..).zip([&wide, &narrow, &wide]) {
        assert_eq!(reload(&daemon, text).breakers.kept, 1);
        let attached =
            [&outer, &inner].map(|cgroup| programs(cgroup, Hook::Connect4).expect("root"));
        assert_eq!(attached, if round % 2 == 1 { [1, 0] } else { [0, 1] });
        assert_all_answered(&caller.call_many(healthy.addr(), 5, PATIENCE).expect("it lives"));
        assert_eq!(daemon.breaker(healthy.addr()).expect("it has one").allowed_total, 5 * round);
    }
}

/// Programs that look at packets cost every packet: they are there only while a policy needs them.
#[test]
fn the_programs_of_a_cgroup_follow_what_its_policies_need() {
    let directory = tempfile::tempdir().expect("a directory");
    let bpffs = BpfFs::mount(directory.path()).expect("it can be mounted");
    let pins = bpffs.pins();
    let pinned =
        || if pins.exists() { bpffs.links().expect("they can be listed").len() } else { 0 };
    for arguments in [&[][..], &["--detach-on-exit=false"]] {
        let (mut caller, cgroup) = caller("reload-needs");
        let healthy = backend(Behaviour::Healthy);
        let node = format!("[node]\npin_dir = \"{}\"\n", pins.display());
        let looking = unwatched(&cgroup, &[healthy.addr()], LASTING).replace("[node]\n", &node);
        let blind = format!("{looking}answers = false\n");
        let daemon = Daemon::start_with(&blind, arguments).expect("it starts");
        let packets =
            || [Hook::Ingress, Hook::Egress].map(|hook| programs(&cgroup, hook).expect("root"));
        let before = (packets(), pinned());
        assert_eq!(before, ([0, 0], if arguments.is_empty() { 0 } else { 3 }));
        reload(&daemon, &looking);
        assert_eq!(packets(), [1, 1]);
        assert_all_answered(&caller.call_many(healthy.addr(), 3, PATIENCE).expect("it lives"));
        wait_for("answers are seen", || {
            daemon.breaker(healthy.addr()).is_ok_and(|breaker| breaker.outcomes.answered == 3)
        });
        reload(&daemon, &blind);
        // A worker of the kernel lets go of a link whose pin was removed.
        wait_for("what is not needed goes", || (packets(), pinned()) == before);
    }
}

/// The kernel refuses the last of many networks, when cgroups and slots have been taken already.
#[test]
fn what_the_kernel_refuses_half_way_is_taken_back() {
    let [(mut caller, here), (_late, there)] = ["reload-full", "reload-late"].map(caller);
    let [healthy, other] = [Behaviour::Healthy, Behaviour::Healthy].map(backend);
    let text = unwatched(&here, &[healthy.addr()], LASTING);
    let daemon = Daemon::start(&text).expect("it starts");
    daemon.succeed(&["trip", &healthy.addr().to_string()]).expect("root");
    let both = format!(
        "{UNWATCHED}{}",
        policy_for(&[("app", &here), ("late", &there)], &[healthy.addr()], LASTING)
    );
    let with_networks = |count: u32| {
        let networks = (0..count).map(|it| format!("10.{}.{}.0/24:80", it >> 8, it & 255));
        let all: Vec<String> = networks.chain([other.addr().to_string()]).collect();
        format!(
            "{both}[[service]]\nname = \"many\"\nendpoints = {all:?}\n[[policy]]\ncaller = \"app\"\nservice = \"many\"\n"
        )
    };
    write(&daemon, &with_networks(16_400));
    let output = daemon.command(&["reload"]).expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("DESTINATIONS"), "{said}");
    assert_eq!(programs(&there, Hook::Connect4).expect("root"), 0);
    let status = daemon.status().expect("it answers");
    assert_eq!((status.node.endpoints, status.breakers.len(), status.node.generation), (1, 1, 1));
    assert!(!caller.call(healthy.addr(), PATIENCE).expect("it lives").answered());
    // The networks were taken back too: there is room for as many again.
    assert!(reload(&daemon, &with_networks(16_000)).applied);
}
