//! The annotated file is the manual: it shows every key, and what it shows as defaults are the
//! defaults.

use super::*;

/// The annotated file is the manual: it parses, and what it shows as defaults are the defaults.
#[test]
fn the_annotated_file_shows_the_defaults() {
    let shown = Config::parse("config/shedder.toml", ANNOTATED).expect("it is good");
    // Everything commented out, but for what has no default, switched on.
    let without_default = |line: &str| {
        [
            "#socket_group",
            "#listen ",
            "#otlp",
            "#unit",
            "#fallback",
            "#protocol",
            "#errors",
            "#target",
        ]
        .iter()
        .any(|start| line.starts_with(start))
            || line.starts_with("#trip.")
                && !line.starts_with("#trip.consecutive")
                && !line.starts_with("#trip.failure_share")
    };
    let explicit = switched_on(|line| !without_default(line));
    assert_eq!(explicit.node, Node::default());
    assert_eq!(explicit.node, shown.node);
    assert_eq!(explicit.bindings[0].policy, shown.bindings[0].policy);
    assert_eq!(Config::parse("f", &good("")).expect("good").bindings[0].policy.trip.len(), 2);
}

/// A trip rule in the annotated file is what it is without being told, but for what it needs.
#[test]
fn the_annotated_file_shows_the_defaults_of_every_trip_rule() {
    let rule = |rule: &str| {
        let shown = switched_on(|line| line.starts_with(&format!("#trip.{rule} ")));
        shown.bindings[0].policy.trip.clone()
    };
    for (name, needed) in [
        ("failure_share", "at_least = 0.5"),
        ("latency", "over = \"500ms\""),
        ("slow_share", "over_usual = {}"),
        ("apdex", "within = \"100ms\""),
        ("slo_drift", ""),
        ("retransmit_share", ""),
        ("outlier", ""),
        ("surge", ""),
        ("in_flight", ""),
    ] {
        let bare = Config::parse("f", &good(&format!("trip.{name} = {{ {needed} }}")));
        let bare = bare.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(rule(name), bare.bindings[0].policy.trip, "{name}");
    }
    let latency =
        "trip.outlier = { measure = \"connect\", quantile = 0.9, floor_latency = \"10ms\" }";
    let short = "trip.outlier = { measure = \"connect\" }";
    assert_eq!(trips(latency), trips(short));
    let mean = "trip.latency = { over_mean = { times = 3, floor = \"100ms\", cap = \"5s\" } }";
    assert_eq!(trips(mean), trips("trip.latency = { over_mean = {} }"));
    assert_eq!(rule("all").len(), 3);
}

/// Nothing can be said in a file that the annotated one does not show.
#[test]
fn the_annotated_file_shows_every_key() {
    let everything = switched_on(|_| true);
    assert_eq!(everything.bindings[0].policy.trip.len(), 11);
    let keys = |text: &str| -> Vec<String> {
        let error = Config::parse("f", text).expect_err(text).to_string();
        let (_, expected) = error.split_once("expected ").unwrap_or_else(|| panic!("{error}"));
        expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let tables = [
        "",
        "trip",
        "trip.failure_share",
        "trip.latency",
        "trip.latency.over_mean",
        "trip.latency.over_usual",
        "trip.latency.over_usual.learn",
        "trip.slow_share",
        "trip.apdex",
        "trip.slo_drift",
        "trip.retransmit_share",
        "trip.outlier",
        "trip.surge",
        "trip.in_flight",
        "trip.all",
        "open",
        "half_open",
        "recovery",
        "throttle",
        "safety",
    ];
    let of_policy = tables.into_iter().flat_map(|table| {
        let table = if table.is_empty() { String::new() } else { format!("{table}.") };
        keys(&good(&format!("{table}nothing = 0")))
    });
    let of_others = ["[node]", "[node.brakes]", "[node.journal]", "[[caller]]", "[[service]]"];
    let of_others = of_others.into_iter().flat_map(|table| keys(&format!("{table}\nnothing = 0")));
    for key in of_policy.chain(of_others) {
        let is_shown = |before| {
            [" = ", "."].iter().any(|after| ANNOTATED.contains(&format!("{before}{key}{after}")))
        };
        assert!(["\n", "#", " ", "."].into_iter().any(is_shown), "{key}");
    }
}

/// The annotated file with the settings switched on that `is_on` wants.
fn switched_on(is_on: impl Fn(&str) -> bool) -> Config {
    let is_setting = |line: &str| line.starts_with('#') && !line.starts_with("# ");
    let text: Vec<&str> = ANNOTATED
        .lines()
        .map(|line| if is_setting(line) && is_on(line) { &line[1..] } else { line })
        .collect();
    Config::parse("config/shedder.toml", &text.join("\n")).unwrap_or_else(|error| panic!("{error}"))
}

const ANNOTATED: &str = include_str!("../../../../config/shedder.toml");
