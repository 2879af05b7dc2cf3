//! Who is not root, or root in a user namespace of its own only, reaches nothing of the daemon; and what processes and
//! cgroups call themselves does nothing to those who read it.
#![expect(unsafe_code, reason = "a thread gives up being root, and bpf(2)")]

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use shedder_tests::attached::{Hook, program_ids};
use shedder_tests::backend::Behaviour;
use shedder_tests::bpf_fs::BpfFs;
use shedder_tests::caller::Caller;
use shedder_tests::daemon::Daemon;
use shedder_tests::foreign::{Foreign, Mode, Program};
use shedder_tests::web::fetch;

use crate::explain::explain;
use crate::metrics::with_pages;
use crate::scene::{LASTING, PATIENCE, backend, caller, open, policy, wait_for};

/// Sockets, files, pins, maps, programs, cgroups and the process itself.
#[test]
fn a_user_who_is_not_root_reaches_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let bpffs = BpfFs::mount(directory.path()).expect("it can be mounted");
    let (_caller, cgroup) = caller("guarded");
    let backend = backend(Behaviour::Healthy);
    let pins = bpffs.pins();
    let text = format!("[node]\npin_dir = \"{}\"\n", pins.display());
    let text = text + &policy(&cgroup, &[backend.addr()], LASTING);
    let daemon = Daemon::start_with(&text, &["--detach-on-exit=false"]).expect("it starts");
    // Directories let everybody through, so that it is the daemon's own files that refuse.
    for passage in [directory.path(), bpffs.path(), daemon.socket().parent().expect("it has one")] {
        fs::set_permissions(passage, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    wait_for("the journal is begun", || daemon.state_dir().join("journal.jsonl").exists());
    let ids = program_ids(&cgroup, Hook::Connect4).expect("root may ask");
    let procs = cgroup.path().join("cgroup.procs");
    let pid = i32::try_from(daemon.pid()).expect("a process number");
    let acts: Vec<(&str, io::Result<()>)> = as_nobody(|| {
        let read = |path: &Path| fs::read_dir(path).map(drop);
        let write = |path: &Path| OpenOptions::new().append(true).open(path).map(drop);
        vec![
            ("control socket", UnixStream::connect(daemon.socket()).map(drop)),
            ("state", read(&daemon.state_dir())),
            ("pins", read(&pins)),
            ("claims", read(Path::new("/run/shedder-claims"))),
            ("policy file", write(&daemon.policy_file())),
            ("leaving the cgroup", write(&procs)),
            ("memory", fs::read(format!("/proc/{pid}/mem")).map(drop)),
            // SAFETY: the signal zero only asks.
            ("signals", outcome(i64::from(unsafe { libc::kill(pid, 0) }))),
            ("programs", bpf(BPF_PROG_GET_FD_BY_ID, [ids[0], 0, 0, 0])),
            ("maps", bpf(BPF_MAP_GET_FD_BY_ID, [1, 0, 0, 0])),
            // SAFETY: no pointer is passed.
            ("raw sockets", raw_socket()),
        ]
    });
    for (what, outcome) in acts {
        let error = outcome.expect_err(what);
        let is_denied = matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES));
        assert!(is_denied, "{what}: {error}");
    }
    let mode = |path: &Path| fs::metadata(path).expect("it exists").permissions().mode() & 0o777;
    assert_eq!((mode(&pins), mode(Path::new("/run/shedder-claims"))), (0o700, 0o700));
    assert_eq!(mode(&daemon.state_dir()) & 0o007, 0);
}

/// Every capability there is in a user namespace is none over what belongs to the node.
#[test]
fn root_of_a_user_namespace_reaches_no_map_and_no_program() {
    let (_caller, cgroup) = caller("namespaced");
    let backend = backend(Behaviour::Healthy);
    let _daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], LASTING)).expect("it starts");
    let ids = program_ids(&cgroup, Hook::Connect4).expect("root may ask");
    for (command, id) in [(BPF_PROG_GET_FD_BY_ID, ids[0]), (BPF_MAP_GET_FD_BY_ID, 1)] {
        let mut process = Command::new("true");
        // SAFETY: system calls without memory of their own, between fork and exec.
        unsafe {
            process.pre_exec(move || {
                outcome(libc::unshare(libc::CLONE_NEWUSER).into())?;
                bpf(command, [id, 0, 0, 0])
            })
        };
        let error = process.spawn().expect_err("it may not").raw_os_error();
        assert_eq!(error, Some(libc::EPERM), "command {command}");
    }
    // Root itself may, so the numbers mean something.
    bpf(BPF_PROG_GET_FD_BY_ID, [ids[0], 0, 0, 0]).expect("root may");
}

/// A process with a name and a cgroup that clear the screen, colour, end lines and turn the direction of writing round is
/// shown to people with all of that written out.
#[test]
fn names_that_steer_a_terminal_are_written_out() {
    let (_outside, cgroup) = caller("named");
    let directory = tempfile::tempdir().expect("a directory");
    let name = directory.path().join("\x1b[2J\n<b>\u{202e}");
    let copied =
        Command::new("cp").arg(Caller::program().expect("it is built")).arg(&name).status();
    assert!(copied.expect("cp runs").success());
    let evil = cgroup.child("\x1b]0;root\x07<script>\u{202e}").expect("a cgroup");
    let pattern = format!("{}/*", cgroup.name());
    let backend = backend(Behaviour::Refuse);
    let text = with_pages("", &cgroup, &[backend.addr()], LASTING);
    let text = text.replace(&format!("\"{}\"", cgroup.name()), &format!("\"{pattern}\""));
    let daemon = Daemon::start(&text).expect("it starts");
    let mut caller = Caller::spawn_by(&evil, Command::new(&name)).expect("it starts");
    drop(open(&daemon, &mut caller, backend.addr()));
    caller.call(backend.addr(), PATIENCE).expect("it lives");

    let pid = caller.pid().to_string();
    let endpoint = backend.addr().to_string();
    let refusals = explain(&daemon, &[&endpoint], 1).refusals;
    assert_eq!(refusals[0].comm, "\x1b[2J\n<b>\u{202e}", "programs get it as it is");
    let deny = Program::Deny { port: 1, errno: None };
    let _foreign = Foreign::attach(&evil, deny, Mode::Link).expect("it is attached");
    let mut shown = vec![daemon.log()];
    for arguments in [
        &["explain", endpoint.as_str()][..],
        &["explain", "--pid", &pid],
        &["why", &pid],
        &["events"],
        &["status"],
        &["doctor"],
    ] {
        shown.push(daemon.succeed(arguments).expect("it answers"));
    }
    for text in &shown {
        let steers = |character: &char| {
            (character.is_control() && *character != '\n') || *character == '\u{202e}'
        };
        assert_eq!(text.chars().find(steers), None, "{text:?}");
    }
    let pages = daemon.pages().expect("it has pages");
    for path in ["/metrics", "/", "/readyz", "/api/v1/status", "/api/v1/events"] {
        let page = fetch(pages, path).expect("it is served").text;
        let steers = |character: &char| character.is_control() && !"\n\t".contains(*character);
        assert_eq!(page.chars().find(steers), None, "{path}: {page:?}");
        assert!(!page.contains("0;root\u{7}<script>"), "{path}: {page:?}");
    }
    let explained = &shown[1];
    let line = explained.lines().find(|line| line.contains(&format!("pid {pid}"))).expect("told");
    assert!(line.contains(r"(\u{1b}[2J\n<b>\u{202e})"), "{line}");
    assert!(line.contains(r"/\u{1b}]0;root\u{7}<script>\u{202e}"), "{line}");
}

/// Runs a closure on a thread of its own that has given up being root.
fn as_nobody<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: these calls, unlike their wrappers, are about this thread alone, which ends soon.
            unsafe {
                let none = std::ptr::null::<libc::gid_t>();
                outcome(libc::syscall(libc::SYS_setgroups, 0, none)).expect("root may");
                outcome(libc::syscall(libc::SYS_setresgid, NOBODY, NOBODY, NOBODY)).expect("root");
                outcome(libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY)).expect("root");
            }
            run()
        });
        thread.join().expect("no panic")
    })
}

fn raw_socket() -> io::Result<()> {
    // SAFETY: no pointer is passed.
    outcome(unsafe { libc::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_TCP) }.into())
}

/// A command of `bpf(2)`, by its first words. What it opens stays open until the process ends.
fn bpf(command: libc::c_long, attributes: [u32; 4]) -> io::Result<()> {
    let size = size_of_val(&attributes);
    // SAFETY: the kernel reads as many bytes as it is told.
    outcome(unsafe { libc::syscall(libc::SYS_bpf, command, &raw const attributes, size) })
}

fn outcome(returned: i64) -> io::Result<()> {
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

const NOBODY: libc::uid_t = 65_534;
const BPF_PROG_GET_FD_BY_ID: libc::c_long = 13;
const BPF_MAP_GET_FD_BY_ID: libc::c_long = 14;
