//! Cgroups: made, named, and gone.

use std::fs;
use std::process::{Command, Stdio};

use shedder_tests::cgroup::{Cgroup, mount_point};

#[test]
fn a_cgroup_and_its_children_vanish_on_drop() {
    let cgroup = Cgroup::new("vanish").unwrap();
    let child = cgroup.child("inner").unwrap();
    let paths = [cgroup.path().to_owned(), child.path().to_owned()];
    assert!(paths.iter().all(|path| path.join("cgroup.procs").is_file()));
    drop(cgroup);
    assert!(paths.iter().all(|path| !path.exists()));
    drop(child);
}

#[test]
fn processes_left_inside_are_ended() {
    let cgroup = Cgroup::new("busy").unwrap();
    let child = cgroup.child("inner").unwrap();
    let mut command = Command::new("sleep");
    child.start_inside(command.arg("600").stdin(Stdio::null())).unwrap();
    let mut process = command.spawn().unwrap();
    let path = cgroup.path().to_owned();
    drop(cgroup);
    assert!(!path.exists());
    assert!(!process.wait().unwrap().success());
}

#[test]
fn the_name_leads_from_the_mount_point_and_the_id_is_the_directory() {
    let cgroup = Cgroup::new("name").unwrap();
    let child = cgroup.child("inner").unwrap();
    assert!(cgroup.name().starts_with("/shedder-lab-name-"));
    assert_eq!(child.name(), format!("{}/inner", cgroup.name()));
    let below_mount = child.path().strip_prefix(mount_point().unwrap()).unwrap();
    assert_eq!(format!("/{}", below_mount.display()), child.name());
    assert_ne!(cgroup.id().unwrap(), child.id().unwrap());
}

#[test]
fn a_process_can_be_moved() {
    let from = Cgroup::new("from").unwrap();
    let to = Cgroup::new("to").unwrap();
    let mut command = Command::new("sleep");
    from.start_inside(command.arg("600").stdin(Stdio::null())).unwrap();
    let mut process = command.spawn().unwrap();
    to.admit(process.id()).unwrap();
    let membership = fs::read_to_string(format!("/proc/{}/cgroup", process.id())).unwrap();
    assert!(membership.lines().any(|line| line == format!("0::{}", to.name())), "{membership}");
    process.kill().unwrap();
    process.wait().unwrap();
}

#[test]
fn a_label_that_leaves_the_root_is_refused() {
    assert!(Cgroup::new("a/b").is_err());
    assert!(Cgroup::new("plain").unwrap().child("..").is_err());
}
