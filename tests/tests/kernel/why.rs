//! `shedder why`: the same question from the application's side.

use shedder_tests::backend::Behaviour;
use shedder_tests::daemon::Daemon;

use crate::scene::{LASTING, PATIENCE, backend, caller, open, policy};

#[test]
fn an_application_hears_what_it_cannot_reach_and_what_to_do() {
    let (mut caller, cgroup) = caller("application");
    let dead = backend(Behaviour::Refuse);
    let well = backend(Behaviour::Healthy);
    let policy = policy(&cgroup, &[dead.addr(), well.addr()], LASTING);
    let daemon = Daemon::start(&policy).expect("it starts");
    let pid = caller.pid().to_string();
    let before = daemon.succeed(&["why", &pid]).expect("it answers");
    let about = format!("lab-caller (pid {pid}) is in {}, guarded as caller app.", cgroup.name());
    assert!(before.starts_with(&about), "{before}");
    assert!(
        before.contains("of the 2 endpoints it may call, each connect goes through"),
        "{before}"
    );

    drop(open(&daemon, &mut caller, dead.addr()));
    caller.call(dead.addr(), PATIENCE).expect("it lives");
    let after = daemon.succeed(&["why", &pid]).expect("it answers");
    for part in [
        "Of 2 endpoints of db it may call, 1 is shed:",
        &format!("db at {}: open for", dead.addr()),
        "why       3 failures in a row (limit 3) (consecutive; policy app:db)",
        "it sees   connect() fails at once with ECONNREFUSED (\"connection refused\")",
        "until     in ",
        &format!("instead   connects to {} of db go through", well.addr()),
        &format!("`shedder hold {}` lets everything through", dead.addr()),
    ] {
        assert!(after.contains(part), "no {part:?} in\n{after}");
    }
    let by_endpoint = daemon.succeed(&["why", &dead.addr().to_string()]).expect("it answers");
    assert!(by_endpoint.starts_with("app, calling db at "), "{by_endpoint}");
    assert!(by_endpoint.contains("(\"connection refused\")"), "{by_endpoint}");
    let by_name = daemon.succeed(&["why", "lab-caller"]).expect("it answers");
    assert!(by_name.contains(&pid) && by_name.contains("1 is shed"), "{by_name}");
}

#[test]
fn who_is_none_of_its_business_is_told_so() {
    let (_caller, cgroup) = caller("business");
    let backend = backend(Behaviour::Healthy);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], LASTING)).expect("it starts");
    let own = daemon.succeed(&["why", &std::process::id().to_string()]).expect("it answers");
    assert!(own.contains("which no policy guards:"), "{own}");
    assert!(own.contains(&format!("Guarded are: {} (app).", cgroup.name())), "{own}");
    let output = daemon.command(&["why", "no-such-thing"]).expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.starts_with("shedder: no process is called \"no-such-thing\" here;"), "{told}");
}
