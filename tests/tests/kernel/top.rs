//! `shedder top` on a terminal, and under tmux.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};

use shedder_tests::backend::Behaviour;
use shedder_tests::daemon::{Daemon, command, program};
use shedder_tests::program::copy_into;
use shedder_tests::terminal::Terminal;

use crate::scene::{LASTING, PATIENCE, assert_all_answered, backend, caller, policy, wait_for};

fn top(daemon: &Daemon) -> Terminal {
    let command = command(&["top", "--every", "200ms"], &daemon.socket()).expect("it is built");
    Terminal::start(command, 80, 24).expect("a terminal")
}

/// Asserts that the program has left its terminal as it was before.
fn assert_given_back(terminal: &mut Terminal, before: &str) {
    terminal
        .wait_until("the screen of before", |screen| {
            !screen.alternate_screen() && !screen.hide_cursor()
        })
        .expect("it leaves its screen");
    assert_eq!(terminal.settings().expect("it is open"), before);
}

#[test]
fn top_shows_and_steers_a_breaker() {
    let (mut caller, cgroup) = caller("watched");
    let backend = backend(Behaviour::Healthy);
    let endpoint = backend.addr().to_string();
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], LASTING)).expect("it starts");
    assert_all_answered(&caller.call_many(backend.addr(), 7, PATIENCE).expect("it lives"));
    let mut terminal = top(&daemon);
    terminal.wait_for_line(&["> ", &endpoint, " closed "]).expect("its row");

    terminal.press("t").expect("it reads");
    let asked = format!("trip: shed every connect of app to db at {endpoint} for 5m");
    terminal.wait_for_line(&[&asked]).expect("it asks");
    assert_eq!(daemon.breaker(backend.addr()).expect("it has one").state, "closed");
    terminal.press("y").expect("it reads");
    terminal.wait_for_line(&[&endpoint, " forced_open "]).expect("it does it");
    assert_eq!(daemon.breaker(backend.addr()).expect("it has one").state, "forced_open");

    terminal.press("\r").expect("it reads");
    terminal.wait_for_line(&["closed -> forced_open"]).expect("the change is told");
    terminal.wait_for_line(&["response: 7, p50 "]).expect("the latencies are told");

    terminal.press("r").expect("it reads");
    terminal.wait_for_line(&["reset: close the breaker"]).expect("it asks");
    terminal.press("n").expect("it reads");
    terminal
        .wait_until("no question", |screen| !screen.contents().contains("reset: close"))
        .expect("gone");
    assert_eq!(daemon.breaker(backend.addr()).expect("it has one").state, "forced_open");
}

#[test]
fn every_end_gives_the_terminal_back() {
    let (_caller, cgroup) = caller("ends");
    let backend = backend(Behaviour::Healthy);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], LASTING)).expect("it starts");
    for end in
        [End::Key("q"), End::Key("\x03"), End::Signal(libc::SIGINT), End::Signal(libc::SIGTERM)]
    {
        let mut terminal = top(&daemon);
        terminal.wait_for_line(&[&backend.addr().to_string()]).expect("its row");
        assert!(terminal.screen().alternate_screen());
        match end {
            End::Key(key) => terminal.press(key).expect("it reads"),
            End::Signal(signal) => terminal.signal(signal),
        }
        assert!(terminal.wait().expect("it ends").success(), "{end:?}");
        assert_given_back(&mut terminal, &fresh_settings());
    }
    // Where the terminal itself goes away, it ends too.
    let mut terminal = top(&daemon);
    terminal.wait_for_line(&[&backend.addr().to_string()]).expect("its row");
    terminal.hang_up();
    terminal.wait().expect("it ends");
}

#[test]
fn top_waits_for_a_daemon_that_is_gone() {
    let (_caller, cgroup) = caller("gone");
    let backend = backend(Behaviour::Healthy);
    let mut daemon =
        Daemon::start(&policy(&cgroup, &[backend.addr()], LASTING)).expect("it starts");
    let mut terminal = top(&daemon);
    terminal.wait_for_line(&[&backend.addr().to_string(), " closed "]).expect("its row");
    daemon.signal(libc::SIGTERM);
    daemon.wait().expect("it ends");
    terminal.wait_for_line(&["LOST since"]).expect("it says so");
    assert!(terminal.screen().contents().contains(&backend.addr().to_string()));
    let again = Daemon::start_at(&daemon, &[]).expect("it starts");
    terminal
        .wait_until("no LOST", |screen| !screen.contents().contains("LOST"))
        .expect("it is back");
    drop(terminal);
    drop(again);
}

#[test]
fn who_may_only_look_is_told_so() {
    let (_caller, cgroup) = caller("looks");
    let backend = backend(Behaviour::Healthy);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], LASTING)).expect("it starts");
    let socket = daemon.socket();
    let directory = socket.parent().expect("it has one");
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(directory, everybody).expect("it is ours");
    std::os::unix::fs::chown(&socket, None, Some(NOBODY)).expect("root may");
    let copy = copy_into(&program().expect("it is built"), directory).expect("a copy");
    let mut command = Command::new(copy);
    command.arg("top").arg("--socket").arg(&socket).uid(NOBODY).gid(NOBODY);
    let mut terminal = Terminal::start(command, 80, 24).expect("a terminal");
    terminal.wait_for_line(&["> ", &backend.addr().to_string()]).expect("its row");
    terminal.press("hy").expect("it reads");
    terminal.wait_for_line(&["only root may override a breaker; use sudo"]).expect("it is told");
}

#[test]
fn without_a_terminal_top_names_what_to_use() {
    let (_caller, cgroup) = caller("piped");
    let backend = backend(Behaviour::Healthy);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], LASTING)).expect("it starts");
    let output = daemon.command(&["top"]).expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no terminal") && said.contains("use `shedder status`"), "{said}");
}

/// As people have it: a shell in tmux, on a screen of 80 by 24.
#[test]
fn top_works_under_tmux() {
    let (_caller, cgroup) = caller("tmux");
    let backend = backend(Behaviour::Healthy);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], LASTING)).expect("it starts");
    let socket = daemon.socket();
    let directory = socket.parent().expect("it has one").display().to_string();
    let program = program().expect("it is built").display().to_string();
    let script = format!(
        "stty -a > {directory}/before; {program} top --socket {}; echo ended with $?; stty -a > {directory}/after; echo all done; read line",
        socket.display()
    );
    let tmux = Tmux::start(format!("{directory}/tmux"), &script);
    tmux.wait_for_row(backend.addr(), " closed ");
    tmux.press("t");
    wait_for("the question", || tmux.screen().contains("trip: shed every connect of app to db"));
    tmux.press("y");
    tmux.wait_for_row(backend.addr(), " forced_open ");
    assert_eq!(daemon.breaker(backend.addr()).expect("it has one").state, "forced_open");
    tmux.press("Enter");
    wait_for("the change", || tmux.screen().contains("closed -> forced_open"));
    tmux.press("q");
    wait_for("the shell", || tmux.screen().contains("all done"));
    let screen = tmux.screen();
    assert!(screen.contains("ended with 0") && !screen.contains("forced_open"), "{screen}");
    let settings = |name: &str| fs::read_to_string(format!("{directory}/{name}")).expect("written");
    assert_eq!(settings("before"), settings("after"));
}

#[derive(Debug)]
enum End {
    Key(&'static str),
    Signal(i32),
}

/// How a terminal is that nobody has changed.
fn fresh_settings() -> String {
    let mut untouched = Terminal::start(Command::new("true"), 80, 24).expect("a terminal");
    untouched.wait().expect("it ends");
    untouched.settings().expect("it is open")
}

/// A tmux server of its own with one session, which ends with its value.
struct Tmux {
    /// Its socket, which it leaves behind, in a directory that goes with the test.
    socket: String,
}

impl Tmux {
    fn start(socket: String, script: &str) -> Self {
        let tmux = Self { socket };
        let started = tmux.run(&["new-session", "-d", "-x", "80", "-y", "24", script]);
        let said = String::from_utf8_lossy(&started.stderr);
        assert!(started.status.success(), "tmux: {said}");
        tmux
    }

    fn press(&self, key: &str) {
        assert!(self.run(&["send-keys", key]).status.success());
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.run(&["capture-pane", "-p"]).stdout).into_owned()
    }

    fn wait_for_row(&self, endpoint: SocketAddr, state: &str) {
        let endpoint = endpoint.to_string();
        let is_it = |line: &str| line.contains(&endpoint) && line.contains(state);
        wait_for(state, || self.screen().lines().any(is_it));
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut tmux = Command::new("tmux");
        tmux.args(["-S", &self.socket, "-f", "/dev/null", "-u"]).args(arguments);
        tmux.env("LC_ALL", "C.UTF-8").env("TERM", "xterm-256color").env_remove("TMUX");
        tmux.output().expect("tmux runs: `cargo xtask setup` or `apt-get install tmux` brings it")
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.run(&["kill-server"]);
    }
}

const NOBODY: u32 = 65_534;
