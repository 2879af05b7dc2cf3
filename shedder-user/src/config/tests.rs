//! Good files, bad files, and files nobody would write.

use proptest::prelude::*;
use shedder_common::protocol::{Errors, Protocol};

use super::*;
use crate::engine::{Mode, Rule, ShedAction, Strategy as Trip, TripRule};

mod annotated;
mod rules;

const GOOD: &str = r#"
[node]
tick = "50ms"
verdict_ttl = "2s"

[[caller]]
name = "web"
cgroups = ["/system.slice/web-*.service"]

[[service]]
name = "db"
endpoints = ["10.0.0.1:5432", "10.1.0.0/16:5432", "db.internal:5432"]

[[policy]]
caller = "web"
service = "db"
mode = "enforce"
trip.consecutive = 3
open = { action = "delay", delay = "100ms" }
"#;

#[test]
fn a_good_file_is_taken() {
    let config = Config::parse("shedder.toml", GOOD).expect("good");
    assert_eq!(config.node.tick, Duration::from_millis(50));
    let policy = &config.bindings[0].policy;
    assert_eq!(policy.name, "web:db");
    assert_eq!(policy.mode, Mode::Enforce);
    assert_eq!(policy.shed, ShedAction::Delay(100));
    assert!(policy.trip.contains(&TripRule::opens(Rule::One(Trip::Consecutive { failures: 3 }))));
    // The rest of the preset stays.
    assert_eq!(policy.trip.len(), 2);
    assert_eq!(policy.open.base, Duration::from_secs(1));
    let binding = &config.bindings[0];
    assert_eq!((binding.place, binding.target), ((15, 10), None));
}

#[test]
fn a_service_may_name_its_protocol() {
    let protocol = |text: &str| Config::parse("f", text).expect("good").services[0].protocol;
    assert_eq!(protocol(GOOD), None);
    for known in Protocol::ALL {
        let text = GOOD.replace("name = \"db\"\n", &spoken(known.name()));
        assert_eq!(protocol(&text), Some(known));
    }
}

fn spoken(protocol: &str) -> String {
    format!("name = \"db\"\nprotocol = \"{protocol}\"\n")
}

#[test]
fn a_service_may_count_every_error() {
    let of = |text: &str| Config::parse("f", &GOOD.replace("name = \"db\"\n", text));
    let code = |errors: &str| {
        let config = of(&format!("{}errors = \"{errors}\"\n", spoken("redis"))).expect("good");
        config.services[0].protocol_code()
    };
    assert_eq!(code("server"), Protocol::Redis.code(Errors::Server));
    assert_eq!(code("all"), Protocol::Redis.code(Errors::All));
    let alone = of("name = \"db\"\nerrors = \"all\"\n").expect_err("nothing is read").to_string();
    assert!(alone.contains("errors says which errors in answers count"), "{alone}");
    let wrong = of(&format!("{}errors = \"any\"\n", spoken("redis"))).expect_err("unknown");
    assert!(wrong.to_string().contains("is no choice of errors; use server or all"), "{wrong}");
}

#[test]
fn a_service_may_have_attributes_of_its_own() {
    let of = |attributes: &str| {
        let text = format!("name = \"db\"\nattributes = {{ {attributes} }}\n");
        let config = Config::parse("f", &GOOD.replace("name = \"db\"\n", &text));
        config.map(|config| config.services[0].attributes.clone()).map_err(|it| it.to_string())
    };
    let own = of("cluster_id = \"us-west\"").expect("good");
    assert_eq!(own.get("cluster_id").map(String::as_str), Some("us-west"));
    let many: Vec<String> = (0..17).map(|number| format!("a{number:02} = \"\"")).collect();
    assert_eq!(of(&many[..16].join(", ")).map(|them| them.len()), Ok(16));
    let long = "x".repeat(257);
    for (attributes, said) in [
        ("\"shedder.caller\" = \"me\"", "the spans have it already"),
        ("\"\" = \"me\"", "or it is empty"),
        (many.join(", ").as_str(), "16 at most"),
        (format!("a = \"{long}\"").as_str(), "256 bytes at most"),
        ("a = 1", "expected a string"),
    ] {
        let error = of(attributes).expect_err(said);
        assert!(error.contains(said) && error.starts_with("f:"), "{error}");
    }
}

/// What is not looked at cannot be read.
#[test]
fn a_policy_without_answers_is_none_for_a_service_with_a_protocol() {
    let text = GOOD.replace("name = \"db\"\n", &spoken("redis"));
    let text = text.replace("trip.consecutive = 3", "answers = false");
    let error = Config::parse("f", &text).expect_err("contradictory").to_string();
    assert!(error.starts_with("f:19:11: answers = false leaves out"), "{error}");
    assert!(error.contains("protocol of service \"db\""), "{error}");
}

#[test]
fn the_mode_is_observe_unless_the_file_says_enforce() {
    let config = Config::parse("f", &GOOD.replace("mode = \"enforce\"\n", "")).expect("good");
    assert_eq!(config.bindings[0].policy.mode, Mode::Observe);
}

/// A slip in a name is met with the name that was meant.
#[test]
fn a_slip_is_met_with_what_was_meant() {
    complains("tick = ", "tik = ", "did you mean \"tick\"?");
    complains("trip.consecutive", "trip.consecutiv", "did you mean \"consecutive\"?");
    complains("caller = \"web\"", "caller = \"wbe\"", "there are web; did you mean \"web\"?");
    complains("service = \"db\"", "service = \"bd\"", "did you mean \"db\"?");
    complains("mode = \"enforce\"", "preset = \"contract-20\"", "did you mean \"contract-200\"?");
    let unwanted = "trip.without = [\"failure_shar\"]";
    complains("trip.consecutive = 3", unwanted, "did you mean \"failure_share\"?");
}

/// Replaces `from` in the good file and expects a complaint at the line of the replacement.
fn complains(from: &str, to: &str, expected: &str) {
    assert!(GOOD.contains(from), "{from}");
    let text = GOOD.replace(from, to);
    let error = Config::parse("shedder.toml", &text).expect_err(expected);
    let shown = error.to_string();
    assert!(shown.contains(expected), "{shown}");
    assert_eq!(shown.lines().count(), 1, "{shown}");
    let (line, _) = error.place.unwrap_or_else(|| panic!("no place: {shown}"));
    assert!(shown.starts_with(&format!("shedder.toml:{line}:")), "{shown}");
}

#[test]
fn bad_input_is_named_with_its_place() {
    complains("[node]", "[node", "expected");
    complains("tick = \"50ms\"", "tikc = \"50ms\"", "unknown field `tikc`");
    complains("tick = \"50ms\"", "tick = \"fast\"", "\"fast\" is no duration");
    complains("tick = \"50ms\"", "tick = \"1us\"", "tick is 1µs, outside 10ms to 10s");
    complains("verdict_ttl = \"2s\"", "verdict_ttl = \"60ms\"", "outside 150ms to 60s");
    complains("tick = \"50ms\"", "state_dir = \"var\"", "begin it with /");
    complains("tick = \"50ms\"", "journal = { max_kib = 1 }", "outside 16 to 1048576");
    complains("tick = \"50ms\"", "journal.files = 0", "outside 1 to 100");
    complains("tick = \"50ms\"", "max_endpoints = 70000", "outside 1 to 65536");
    complains("/system.slice/web-*.service", "system.slice", "begins at the root");
    complains("/system.slice/web-*.service", "/", "cannot be guarded");
    complains("/system.slice/web-*.service", "/a[", "no cgroup pattern");
    complains("/system.slice/web-*.service", "/a/..", "must not contain . or ..");
    complains("10.1.0.0/16:5432", "[::ffff:10.0.0.0/104]:80", "IPv4 network");
    complains("10.0.0.1:5432", "10.0.0.1", "the port is missing");
    complains("10.1.0.0/16:5432", "10.1.0.0/99:5432", "prefix is longer");
    complains("caller = \"web\"", "caller = \"wbe\"", "no caller is called \"wbe\"; there are web");
    complains("name = \"db\"\n", "name = \"d\\rb\"\n", "\"d\\rb\" is no name of a service");
    complains("name = \"web\"\n", "name = \"\\u001b[2J\"\n", "is no name of a caller");
    complains(
        "mode = \"enforce\"",
        "name = \"a\\nb\"",
        "is no name of a policy: use visible characters",
    );
    complains("service = \"db\"", "service = \"dd\"", "no service is called \"dd\"");
    complains("mode = \"enforce\"", "mode = \"force\"", "use observe or enforce");
    complains(
        "name = \"db\"\n",
        &spoken("http"),
        "\"http\" is no protocol whose answers can be read; use http1, redis, mysql or postgres",
    );
    complains("mode = \"enforce\"", "preset = \"fastest\"", "\"fastest\" is no preset; there are");
    complains("action = \"delay\"", "action = \"drop\"", "use deny, delay or redirect");
    complains("delay = \"100ms\"", "errno = \"ECONNREFUSED\"", "needs delay");
    complains("delay = \"100ms\"", "delay = \"100ms\", errno = \"EAGAIN\"", "cannot be returned");
    complains("delay = \"100ms\"", "delay = \"10m\"", "1ms to 10s");
    complains(
        "trip.consecutive = 3",
        "trip.consecutive = 0",
        "trip.consecutive is 0, outside 1 to",
    );
    complains(
        "trip.consecutive = 3",
        "trip.failure_share = { confidence = 0.42 }",
        "confidence 0.42 is not one of",
    );
    complains(
        "trip.consecutive = 3",
        "half_open = { tokens = 1, successes = 2 }",
        "could never close",
    );
}

#[test]
fn overlapping_policies_are_refused() {
    let second = "\n[[policy]]\ncaller = \"web\"\nservice = \"db\"\n";
    let error = Config::parse("f", &format!("{GOOD}{second}")).expect_err("overlap").to_string();
    assert!(error.contains("the one at line 15 both decide about 10.0.0.1:5432"), "{error}");
}

#[test]
fn a_fallback_that_is_another_services_endpoint_is_refused() {
    let second = "[[service]]\nname = \"b\"\nendpoints = [\"10.9.9.9:1\"]\nfallback = [\"10.0.0.1:5432\"]\n[[policy]]\ncaller = \"web\"\nservice = \"b\"\n";
    let error = Config::parse("f", &format!("{GOOD}{second}")).expect_err("overlap").to_string();
    assert!(error.contains("both decide about 10.0.0.1:5432"), "{error}");
}

/// Who asks there is not asked who it is, so what other machines reach takes a second word.
#[test]
fn pages_are_for_this_machine_unless_told_otherwise() {
    let node = |lines: &str| {
        let text = GOOD.replace("[node]\n", &format!("[node]\n{lines}\n"));
        Config::parse("f", &text).map(|config| config.node.listen.map(|at| at.to_string()))
    };
    assert_eq!(node(""), Ok(None));
    for address in ["127.0.0.1:9464", "127.8.0.1:1", "[::1]:9464"] {
        assert_eq!(node(&format!("listen = \"{address}\"")), Ok(Some(address.to_owned())));
    }
    for address in ["0.0.0.0:9464", "10.0.0.1:9464", "[::]:9464", "[fd00::1]:9464"] {
        let error = node(&format!("listen = \"{address}\"")).expect_err(address).to_string();
        assert!(error.starts_with("f:3:10: listen is"), "{error}");
        assert!(error.contains("127.0.0.1:9464, or set listen_anywhere = true"), "{error}");
        let anyway = node(&format!("listen = \"{address}\"\nlisten_anywhere = true"));
        assert_eq!(anyway, Ok(Some(address.to_owned())));
    }
    for nonsense in ["9464", "localhost:9464", "127.0.0.1", ""] {
        let error = node(&format!("listen = \"{nonsense}\"")).expect_err(nonsense).to_string();
        assert!(error.contains("is no address and port; write 127.0.0.1:9464"), "{error}");
    }
}

#[test]
fn an_empty_file_guards_nothing_and_says_so() {
    let error = Config::parse("f", "").expect_err("empty").to_string();
    assert_eq!(error, "f: no [[policy]]: nothing would be guarded");
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load(Path::new("/nonexistent/shedder.toml")).expect_err("missing");
    assert!(error.to_string().starts_with("/nonexistent/shedder.toml: cannot be read"), "{error}");
}

/// A file whose only policy has these lines.
fn good(lines: &str) -> String {
    format!(
        "[[caller]]\nname = \"a\"\ncgroups = [\"/a\"]\n[[service]]\nname = \"b\"\nendpoints = [\"127.0.0.1:1\"]\n[[policy]]\ncaller = \"a\"\nservice = \"b\"\n{lines}\n"
    )
}

fn policy(lines: &str) -> Policy {
    let config = Config::parse("f", &good(lines)).unwrap_or_else(|error| panic!("{error}"));
    (*config.bindings[0].policy).clone()
}

/// The trip rules of a policy with these lines.
fn trips(lines: &str) -> Vec<TripRule> {
    policy(lines).trip
}

proptest! {
    #[test]
    fn any_text_is_survived(text in "\\PC{0,200}") {
        let _config = Config::parse("f", &text);
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _config = Config::parse("f", &String::from_utf8_lossy(&bytes));
    }

    /// A good file with a piece replaced by noise reaches deeper than noise alone.
    #[test]
    fn any_damage_is_survived(at in 0..GOOD.len(), length in 0_usize..40, noise in "[-a-z0-9\"=\\[\\].{}:/ \n]{0,20}") {
        let end = (at + length).min(GOOD.len());
        let text = format!("{}{noise}{}", &GOOD[..at], &GOOD[end..]);
        if let Err(error) = Config::parse("f", &text) {
            prop_assert_eq!(error.to_string().lines().count(), 1);
        }
    }
}
