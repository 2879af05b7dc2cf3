//! The page for people, in a real browser: it is live, says why, fits a phone, and asks nobody else.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use shedder_tests::backend::{Backend, Behaviour};
use shedder_tests::browser::{Browser, Look};
use shedder_tests::caller::Caller;
use shedder_tests::cgroup::Cgroup;
use shedder_tests::daemon::Daemon;

use crate::metrics::with_pages;
use crate::scene::{LASTING, PATIENCE, assert_all_answered, backend, caller};

#[test]
fn a_trip_is_seen_without_reloading_and_explained() {
    let (mut caller, cgroup) = caller("seen");
    let (good, bad) = (backend(Behaviour::Healthy), backend(Behaviour::Healthy));
    let text = with_pages("", &cgroup, &[good.addr(), bad.addr()], LASTING);
    let daemon = Daemon::start(&text).expect("it starts");
    let mut page = open(&daemon, DESKTOP);
    page.wait_for(&format!("{} === 'closed'", state_of(bad.addr()))).expect("it is there");
    page.evaluate("window.untouched = true").expect("it runs");
    assert_all_answered(&caller.call_many(good.addr(), 20, PATIENCE).expect("it lives"));

    bad.set(Behaviour::Refuse).expect("it lives");
    caller.call_many(bad.addr(), 3, PATIENCE).expect("it lives");
    page.wait_for(&format!("{} === 'open'", state_of(bad.addr()))).expect("it is shown");
    assert!(!caller.call(bad.addr(), PATIENCE).expect("it lives").answered());
    assert_eq!(page.evaluate("window.untouched").expect("it runs"), true, "it was reloaded");
    for (what, condition) in [
        ("the map says who calls", "document.querySelector('.caller').innerText.includes('app')"),
        ("the others are closed", &format!("{} === 'closed'", state_of(good.addr()))),
        ("the timeline has it", "document.querySelector('.strip .s-open') !== null"),
        (
            "the event is told",
            "document.querySelector('#feed').innerText.includes('closed -> open')",
        ),
    ] {
        page.wait_for(condition).unwrap_or_else(|error| panic!("{what}: {error:#}"));
    }

    page.press("n").expect("it takes keys");
    for said in [
        "3 failures in a row (limit 3) (consecutive)",
        "connect() fails at once with",
        "half-open in",
        "shedder hold",
        &format!("sudo shedder trip {} --caller app", bad.addr()),
        "consecutive = 3",
        "the breaker was open (number 1)",
    ] {
        page.wait_for(&format!("document.querySelector('#detail').innerText.includes({said:?})"))
            .unwrap_or_else(|error| panic!("{said}: {error:#}"));
    }
    assert_clean(&mut page, &daemon);
    keep(&mut page, "open-light");
    page.look(Look { dark: true, ..DESKTOP }).expect("it turns dark");
    keep(&mut page, "open-dark");
}

/// Two hundred endpoints on a wide screen and on a phone, by eye and by key.
#[test]
fn two_hundred_endpoints_fit_any_screen() {
    let (mut caller, cgroup) = caller("crowd");
    let crowd = Crowd::start(&mut caller, &cgroup);
    let mut page = open(&crowd.daemon, DESKTOP);
    page.wait_for("document.querySelectorAll('.tile').length === 200").expect("all are there");
    for state in ["open", "forced open", "held closed", "observing: open"] {
        let is_shown = format!(
            "[...document.querySelectorAll('.tile .word')].some((word) => word.textContent === '{state}')"
        );
        page.wait_for(&is_shown).unwrap_or_else(|error| panic!("{state}: {error:#}"));
    }
    // A state is a word and a shape, not only a colour.
    let shapes = "new Set([...document.querySelectorAll('.tile use')].map((use) => use.getAttribute('href'))).size";
    assert_eq!(page.evaluate(shapes).expect("it runs"), 5);
    // What is at rest stays: a glance a second moves no element.
    page.evaluate(
        "window.moved = 0; new MutationObserver((all) => { for (const it of all) window.moved += it.addedNodes.length; }).observe(document.querySelector('#services'), {childList: true, subtree: true})",
    )
    .expect("it runs");
    for _ in 0..8 {
        caller.call_many(crowd.healthy, 25, PATIENCE).expect("it lives");
        let heard = page.evaluate("live.heard").expect("it runs");
        page.wait_for(&format!("live.heard > {heard}")).expect("it is live");
    }
    // Texts of the one endpoint that is called change; nothing is built again.
    let moved = page.evaluate("window.moved").expect("it runs");
    assert!(moved.as_u64().is_some_and(|moved| moved < 40), "{moved}");
    choose(&mut page, crowd.healthy);
    page.wait_for(
        "document.querySelector('canvas').getAttribute('aria-label').includes('median below')",
    )
    .expect("its latencies are drawn");
    tell_cost(&mut page);
    keep(&mut page, "crowd-light");
    page.look(Look { dark: true, ..DESKTOP }).expect("it turns dark");
    keep(&mut page, "crowd-dark");

    for dark in [false, true] {
        page.look(Look { dark, ..PHONE }).expect("it shrinks");
        assert_fits(&mut page);
        keep(&mut page, if dark { "phone-dark" } else { "phone-light" });
        choose(&mut page, crowd.healthy);
        page.wait_for("document.querySelector('#detail').getBoundingClientRect().width === 360")
            .expect("the explanation takes the screen");
        assert_fits(&mut page);
        keep(&mut page, if dark { "phone-detail-dark" } else { "phone-detail-light" });
        page.press("Escape").expect("it takes keys");
        page.wait_for("getComputedStyle(document.querySelector('#detail')).display === 'none'")
            .expect("back to the map");
    }
    assert_clean(&mut page, &crowd.daemon);
}

#[test]
fn everything_can_be_done_by_key() {
    let (mut caller, cgroup) = caller("keyed");
    let crowd = Crowd::start(&mut caller, &cgroup);
    let mut page = open(&crowd.daemon, DESKTOP);
    page.wait_for("document.querySelectorAll('.tile').length === 200").expect("all are there");
    let selected = "document.querySelector('.tile[aria-current=true] .endpoint')?.textContent";
    let title = "document.querySelector('#detail h2').innerText";
    let is = |page: &mut Browser, what: &str, value: &str| {
        page.wait_for(&format!("{what} === {value:?}"))
            .unwrap_or_else(|error| panic!("{what} is not {value}: {error:#}"));
    };
    // What is worst is selected first.
    is(&mut page, selected, "127.1.3.1:9200");
    page.press("j").expect("it takes keys");
    is(&mut page, selected, "127.1.3.2:9200");
    is(&mut page, title, "127.1.3.2:9200");
    page.press("k").expect("it takes keys");
    page.press("ArrowDown").expect("it takes keys");
    is(&mut page, selected, "127.1.3.2:9200");
    page.press("Enter").expect("it takes keys");
    is(&mut page, "document.activeElement.id", "detail");

    page.press("/").expect("it takes keys");
    is(&mut page, "document.activeElement.id", "search");
    for letter in "1.3.7 clo".chars() {
        page.press(&letter.to_string()).expect("it takes keys");
    }
    page.wait_for("document.querySelectorAll('.tile').length === 1").expect("it is filtered");
    page.press("Enter").expect("it takes keys");
    is(&mut page, selected, "127.1.3.7:9200");
    page.press("Escape").expect("it takes keys");
    page.wait_for("document.querySelectorAll('.tile').length === 200").expect("the filter is gone");

    page.press("?").expect("it takes keys");
    page.wait_for("document.querySelector('#help').open").expect("the keys are shown");
    page.press("Escape").expect("it takes keys");
    page.wait_for("!document.querySelector('#help').open").expect("they are gone");
    let ground = "getComputedStyle(document.body).backgroundColor";
    let before = page.evaluate(ground).expect("it runs");
    page.press("t").expect("it takes keys");
    page.press("t").expect("it takes keys");
    page.wait_for(&format!("{ground} !== {before}")).expect("it is dark where the system is light");
    // Everything that can be pressed has a name.
    let nameless = "[...document.querySelectorAll('button, input, canvas')].filter((it) => !(it.ariaLabel || it.textContent.trim() || it.labels?.[0]?.textContent.trim())).length";
    assert_eq!(page.evaluate(nameless).expect("it runs"), 0);
    assert_clean(&mut page, &crowd.daemon);
}

/// A page that shows what was is worse than one that says so.
#[test]
fn a_daemon_that_is_gone_is_missed_and_found_again() {
    let (mut caller, cgroup) = caller("gone");
    let backend = backend(Behaviour::Refuse);
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it has one");
    let text = with_pages("", &cgroup, &[backend.addr()], LASTING)
        .replace("127.0.0.1:0\"", &format!("{free}\""));
    let mut daemon = Daemon::start(&text).expect("it starts");
    let mut page = open(&daemon, DESKTOP);
    caller.call_many(backend.addr(), 3, PATIENCE).expect("it lives");
    page.wait_for(&format!("{} === 'open'", state_of(backend.addr()))).expect("it is shown");
    assert_eq!(page.evaluate("document.querySelector('#alarm').hidden").expect("it runs"), true);
    daemon.signal(libc::SIGTERM);
    daemon.wait().expect("it ends");
    page.wait_for(
        "document.querySelector('#alarm').innerText.includes('The daemon is gone, since')",
    )
    .expect("it is missed");
    keep(&mut page, "gone");
    let again = Daemon::start_at(&daemon, &[]).expect("it starts again");
    page.wait_for("document.querySelector('#alarm').hidden").expect("it is found again");
    page.wait_for(&format!("{} === 'closed'", state_of(backend.addr()))).expect("what is now");
    again.pause().expect("it stops");
    page.wait_for("document.querySelector('#alarm').innerText.includes('The daemon says nothing')")
        .expect("its silence is told");
    again.signal(libc::SIGCONT);
    page.wait_for("document.querySelector('#alarm').hidden").expect("it goes on");
}

fn open(daemon: &Daemon, look: Look) -> Browser {
    let pages = daemon.pages().expect("it has pages");
    let mut page = Browser::open(&format!("http://{pages}/"), look).expect("a browser opens it");
    page.wait_for("document.querySelector('#link').dataset.link === 'live'").expect("it is live");
    page
}

/// Says what the page costs: `cargo test --test kernel two_hundred -- --nocapture`.
#[expect(clippy::print_stdout, reason = "figures for whoever asks for them")]
fn tell_cost(page: &mut Browser) {
    let cost = "(() => {
        const timed = (work) => { const begin = performance.now(); work(); document.body.offsetHeight; return performance.now() - begin; };
        const redraw = () => { drawFacts(); drawMap(); drawTimeline(); drawDetail(); };
        const redraws = Array.from({ length: 20 }, () => timed(redraw)).sort((a, b) => a - b);
        const rebuilt = timed(() => { map.shape = null; redraw(); });
        return `${redraws[10].toFixed(1)} ms to redraw, ${redraws[19].toFixed(1)} at most, ${rebuilt.toFixed(1)} to build anew; a glance has ${JSON.stringify(store.glance).length} bytes`;
    })()";
    println!("200 endpoints: {}", page.evaluate(cost).expect("it runs"));
}

/// Selects an endpoint as a finger does.
fn choose(page: &mut Browser, endpoint: SocketAddr) {
    let tile = format!(
        "[...document.querySelectorAll('.tile')].find((tile) => tile.textContent.includes('{endpoint}')).click()"
    );
    page.evaluate(&tile).expect("it is there");
}

fn assert_fits(page: &mut Browser) {
    page.wait_for("innerWidth === 360").expect("it is as wide as that");
    let width = "Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)";
    assert_eq!(page.evaluate(width).expect("it runs"), 360, "it can be pushed sideways");
    let outside = "[...document.querySelectorAll('body *')].filter((it) => { const box = it.getBoundingClientRect(); return box.width > 1 && box.right > 361 && !it.closest('.rules, .order, svg, .strip'); }).map((it) => it.className + ' ' + it.textContent.slice(0, 40))";
    assert_eq!(page.evaluate(outside).expect("it runs"), serde_json::json!([]));
}

/// The first word of a breaker's state, as the map writes it.
fn state_of(endpoint: SocketAddr) -> String {
    format!(
        "[...document.querySelectorAll('.tile')].find((tile) => tile.textContent.includes('{endpoint}')).querySelector('.word').textContent.split(' for ')[0]"
    )
}

/// It asked nobody but the daemon, and had nothing to complain about.
fn assert_clean(page: &mut Browser, daemon: &Daemon) {
    assert_eq!(page.complaints(), Vec::<String>::new());
    let home = format!("http://{}/", daemon.pages().expect("it has pages"));
    let requests = page.requests();
    assert!(requests.len() > 2, "{requests:?}");
    let is_own = |url: &&String| url.starts_with(&home) || url.starts_with("data:");
    let foreign: Vec<&String> = requests.iter().filter(|url| !is_own(url)).collect();
    assert_eq!(foreign, Vec::<&String>::new());
}

/// Keeps a picture for whoever wants to look at the page.
fn keep(page: &mut Browser, name: &str) {
    let executable = std::env::current_exe().expect("it runs");
    let target = executable.ancestors().nth(3).expect("it lies in the target directory");
    let directory: PathBuf = target.join("screenshots");
    std::fs::create_dir_all(&directory).expect("a directory");
    page.screenshot(&directory.join(format!("{name}.png"))).expect("a picture");
}

/// A daemon with two hundred breakers, of which some are in each state an order or a fault brings.
struct Crowd {
    daemon: Daemon,
    healthy: SocketAddr,
    _backends: Vec<Backend>,
}

impl Crowd {
    fn start(caller: &mut Caller, cgroup: &Cgroup) -> Self {
        let healthy = backend(Behaviour::Healthy);
        let failing = [backend(Behaviour::Refuse), backend(Behaviour::Refuse)];
        let quiet = |subnet: u8, count: u8| {
            (1..=count).map(move |host| SocketAddr::from(([127, 1, subnet, host], 9200)))
        };
        let mut text = format!(
            "node = {{ listen = \"127.0.0.1:0\" }}\n[[caller]]\nname = \"shop\"\ncgroups = [{:?}]\n",
            cgroup.name()
        );
        let services: [(&str, &str, &str, Vec<SocketAddr>); 4] = [
            (
                "orders",
                "enforce",
                LASTING,
                [failing[0].addr(), healthy.addr()].into_iter().chain(quiet(1, 6)).collect(),
            ),
            ("payments", "observe", LASTING, vec![failing[1].addr()]),
            ("search", "enforce", LASTING, quiet(2, 181).collect()),
            ("sessions", "enforce", LASTING, quiet(3, 10).collect()),
        ];
        for (name, mode, rules, endpoints) in services {
            let endpoints: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
            write!(text, "[[service]]\nname = {name:?}\nendpoints = {endpoints:?}\n[[policy]]\ncaller = \"shop\"\nservice = {name:?}\nmode = {mode:?}\nsafety = {{ max_open_percent = 100, lone = \"open\", scope = \"cell\", false_refusals = 0 }}\n{rules}\n").expect("to a string");
        }
        let daemon = Daemon::start(&text).expect("it starts");
        for backend in &failing {
            caller.call_many(backend.addr(), 4, PATIENCE).expect("it lives");
        }
        daemon.succeed(&["trip", "127.1.3.1:9200", "--for", "1h"]).expect("root may");
        daemon.succeed(&["hold", "127.1.3.2:9200", "--for", "1h"]).expect("root may");
        let healthy_at = healthy.addr();
        Self {
            daemon,
            healthy: healthy_at,
            _backends: failing.into_iter().chain([healthy]).collect(),
        }
    }
}

const PHONE: Look = Look { width: 360, height: 740, dark: false };
const DESKTOP: Look = Look { width: 1360, height: 860, dark: false };
