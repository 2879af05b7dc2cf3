//! Attaching beside others, or not at all: nobody is removed, moved or switched off, and people are told who is there.

use shedder_tests::attached::{Hook, program_ids};
use shedder_tests::backend::{Backend, Behaviour};
use shedder_tests::bpf_fs::BpfFs;
use shedder_tests::daemon::Daemon;
use shedder_tests::foreign::{Foreign, Mode, Program};

use super::Family;
use crate::scene::{LASTING, PATIENCE, assert_all_answered, backend, open, policy, wait_until};

/// A program that was attached to be alone is in the way, and the daemon says which, where, and what to do.
#[test]
fn a_program_that_wants_to_be_alone_is_named() {
    for (is_around, mode) in
        [(false, Mode::Exclusive), (false, Mode::Overridable), (true, Mode::Exclusive)]
    {
        let family = Family::new("alone");
        let mut caller = family.caller();
        let backend = backend(Behaviour::Healthy);
        let cgroup = if is_around { &family.outer } else { &family.guarded };
        let deny = Program::Deny { port: 1, errno: None };
        let foreign = Foreign::attach(cgroup, deny, mode).expect("it is attached");
        let text = policy(&family.guarded, &[backend.addr()], LASTING);
        let said = Daemon::start(&text).expect_err("it is in the way").to_string();
        let id = foreign.id().expect("it has one");
        let who = format!("program lab_foreign (id {id}) of {}", cgroup.name());
        for part in ["connect4", family.guarded.name(), &who, "BPF_F_ALLOW_MULTI"] {
            assert!(said.contains(part), "{part:?} is missing in {said}");
        }
        assert_eq!(program_ids(cgroup, Hook::Connect4).expect("root may ask"), [id]);
        assert_all_answered(&caller.call_many(backend.addr(), 2, PATIENCE).expect("it lives"));
        drop(foreign);
        Daemon::start(&text).expect("nothing is in the way");
    }
}

/// A program around the guarded cgroup that yields to any below it would be switched off by being joined.
#[test]
fn a_program_that_would_yield_is_not_switched_off() {
    let family = Family::new("yields");
    let mut caller = family.caller();
    let backend = backend(Behaviour::Healthy);
    let deny = Program::Deny { port: backend.addr().port(), errno: None };
    let foreign = Foreign::attach(&family.outer, deny, Mode::Overridable).expect("attached");
    let text = policy(&family.guarded, &[backend.addr()], LASTING);
    let said = Daemon::start(&text).expect_err("it would displace it").to_string();
    let id = foreign.id().expect("it has one");
    let who = format!("program lab_foreign (id {id}) of {}", family.outer.name());
    assert!(said.contains(&who) && said.contains("would no longer run"), "{said}");
    let call = caller.call(backend.addr(), PATIENCE).expect("it lives");
    assert_eq!(call.connect_errno(), Some(libc::EPERM), "it goes on refusing");
}

/// A program inside the guarded cgroup that is alone there is no obstacle: both run.
#[test]
fn a_program_that_is_alone_inside_runs_beside_ours() {
    let family = Family::new("inside");
    let mut caller = family.caller();
    let backends = [(); 2].map(|()| backend(Behaviour::Healthy));
    let [theirs, ours] = backends.each_ref().map(Backend::addr);
    let deny = Program::Deny { port: theirs.port(), errno: None };
    let _foreign = Foreign::attach(&family.inner, deny, Mode::Exclusive).expect("attached");
    let daemon = Daemon::start(&policy(&family.guarded, &[theirs, ours], LASTING)).expect("starts");
    daemon.succeed(&["trip", &ours.to_string()]).expect("root may");
    let mut errno = |at| caller.call(at, PATIENCE).expect("it lives").connect_errno();
    assert_eq!((errno(theirs), errno(ours)), (Some(libc::EPERM), Some(libc::ECONNREFUSED)));
}

/// Whoever was attached before is attached after, in the same order, whatever shedder does.
#[test]
fn others_stay_attached_in_their_order_over_start_upgrade_and_stop() {
    let directory = tempfile::tempdir().expect("a directory");
    let bpffs = BpfFs::mount(directory.path()).expect("it can be mounted");
    let family = Family::new("order");
    let mut caller = family.caller();
    let backend = backend(Behaviour::Refuse);
    let node = format!("[node]\npin_dir = \"{}\"\n", bpffs.pins().display());
    let text = node + &policy(&family.guarded, &[backend.addr()], LASTING);
    let attach = |mode| {
        let deny = Program::Deny { port: 1, errno: None };
        let foreign = Foreign::attach(&family.guarded, deny, mode).expect("it is attached");
        (foreign.id().expect("it has one"), foreign)
    };
    let here = || program_ids(&family.guarded, Hook::Connect4).expect("root may ask");

    let (first, _first) = attach(Mode::Link);
    let (second, _second) = attach(Mode::Multi);
    let mut daemon = Daemon::start_with(&text, &["--detach-on-exit=false"]).expect("it starts");
    let (last, _last) = attach(Mode::Link);
    let ours = here()[2];
    assert_eq!(here(), [first, second, ours, last]);
    drop(open(&daemon, &mut caller, backend.addr()));

    daemon.signal(libc::SIGTERM);
    daemon.wait().expect("it ends");
    assert_eq!(here(), [first, second, ours, last], "kept for the next one");
    let mut next = Daemon::start_at(&daemon, &["--detach-on-exit=false"]).expect("it goes on");
    let new = here()[2];
    assert_ne!(new, ours, "the next one's program");
    assert_eq!(here(), [first, second, new, last], "in the place of the old one");
    wait_until(&next, backend.addr(), |breaker| breaker.state == "open");

    next.signal(libc::SIGTERM);
    next.wait().expect("it ends");
    let detached = Daemon::start_at(&next, &[]).expect("it removes what was left");
    assert_eq!(here().len(), 4);
    drop(detached);
    assert_eq!(here(), [first, second, last]);
}

/// `shedder doctor` says who else is there, in the order in which they run.
#[test]
fn doctor_names_the_programs_of_others_in_their_order() {
    let family = Family::new("named");
    let backend = backend(Behaviour::Healthy);
    let deny = Program::Deny { port: 1, errno: None };
    let attach = |cgroup| Foreign::attach(cgroup, deny, Mode::Link).expect("it is attached");
    let inside = attach(&family.inner);
    let before = attach(&family.guarded);
    let daemon =
        Daemon::start(&policy(&family.guarded, &[backend.addr()], LASTING)).expect("starts");
    let (after, around) = (attach(&family.guarded), attach(&family.outer));
    let id = |foreign: &Foreign| foreign.id().expect("it has one");

    let said = daemon.succeed(&["doctor"]).expect("it can run here");
    let line = said.lines().find(|line| line.contains("connect4 of")).expect("it is named");
    let order = format!(
        "connect4 of {guarded}: lab_foreign ({}) of {inner}, lab_foreign ({}), shedder, lab_foreign ({}), lab_foreign ({}) of {outer}",
        id(&inside),
        id(&before),
        id(&after),
        id(&around),
        inner = family.inner.name(),
        guarded = family.guarded.name(),
        outer = family.outer.name(),
    );
    assert!(line.contains(&order), "{line}\n{order}");
    drop((inside, before, after, around));
    let said = daemon.succeed(&["doctor"]).expect("it can run here");
    assert!(!said.contains("lab_foreign"), "{said}");
}
