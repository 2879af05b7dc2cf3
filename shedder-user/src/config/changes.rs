//! What is different in a configuration that takes the place of another, for people.
//!
//! Invariant: whatever makes a difference to a daemon makes a line; two files that differ in comments,
//! order of tables or spelling only make none.

use std::fmt::Display;
use std::time::Duration;

use super::places::Named;
use super::{Binding, Caller, Config, Node, Service};
use crate::engine::{Mode, Policy};

impl Config {
    /// One line for each change from this configuration to `new`, whose places are its own.
    pub(crate) fn changes(&self, new: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        node(&self.node, &new.node, &mut lines);
        each("caller", &self.callers, &new.callers, caller, &mut lines);
        each("service", &self.services, &new.services, service, &mut lines);
        policies(self, new, &mut lines);
        lines
    }
}

impl Node {
    /// The first setting that a running daemon cannot change.
    pub(crate) fn fixed_difference(&self, new: &Self) -> Option<&'static str> {
        [
            ("max_endpoints", self.max_endpoints != new.max_endpoints),
            ("socket", self.socket != new.socket),
            ("socket_group", self.socket_group != new.socket_group),
            ("pin_dir", self.pin_dir != new.pin_dir),
            ("state_dir", self.state_dir != new.state_dir),
            ("listen", self.listen != new.listen),
            ("otlp", self.otlp != new.otlp),
        ]
        .into_iter()
        .find_map(|(setting, differs)| differs.then_some(setting))
    }
}

fn node(old: &Node, new: &Node, lines: &mut Vec<String>) {
    let times = [
        ("tick", old.tick, new.tick),
        ("verdict_ttl", old.verdict_ttl, new.verdict_ttl),
        ("forget_after", old.forget_after, new.forget_after),
        ("rescan", old.rescan, new.rescan),
    ];
    for (setting, old, new) in times {
        changed("node", setting, &time(old), &time(new), lines);
    }
    changed("node", "max_held", &old.max_held, &new.max_held, lines);
    changed("node", "watch", &old.watch, &new.watch, lines);
    let endpoints = (old.metrics_endpoints, new.metrics_endpoints);
    changed("node", "metrics_endpoints", &endpoints.0, &endpoints.1, lines);
    let (old_journal, new_journal) = (&old.journal, &new.journal);
    changed("node", "journal.max_kib", &old_journal.max_kib, &new_journal.max_kib, lines);
    changed("node", "journal.files", &old_journal.files, &new_journal.files, lines);
    if old.rules != new.rules {
        lines.push("node: brakes changed".to_owned());
    }
}

fn caller(old: &Caller, new: &Caller, lines: &mut Vec<String>) {
    let whose = format!("caller {}", new.name);
    listed(&whose, "cgroups", &old.cgroups, &new.cgroups, lines);
}

fn service(old: &Service, new: &Service, lines: &mut Vec<String>) {
    let whose = format!("service {}", new.name);
    listed(&whose, "endpoints", &old.endpoints, &new.endpoints, lines);
    listed(&whose, "fallback", &old.fallback, &new.fallback, lines);
    let separate = |service: &Service| service.separate_networks;
    changed(&whose, "separate_networks", &separate(old), &separate(new), lines);
    changed(&whose, "udp", &old.udp, &new.udp, lines);
    let spoken = |service: &Service| service.protocol.map_or("none", |protocol| protocol.name());
    changed(&whose, "protocol", &spoken(old), &spoken(new), lines);
    changed(&whose, "errors", &old.errors.name(), &new.errors.name(), lines);
    let attributes = |service: &Service| -> Vec<String> {
        service.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect()
    };
    listed(&whose, "attributes", &attributes(old), &attributes(new), lines);
}

/// Lines for those of one kind, by their places.
fn each<T: Named>(
    kind: &str,
    old: &[T],
    new: &[T],
    compare: impl Fn(&T, &T, &mut Vec<String>),
    lines: &mut Vec<String>,
) {
    for (place, new) in new.iter().enumerate() {
        let old = old.get(place).filter(|old| !old.is_vacant());
        match (old, new.is_vacant()) {
            (None, false) => lines.push(format!("{kind} {} added", new.name())),
            (Some(old), true) => lines.push(format!("{kind} {} removed", old.name())),
            (Some(old), false) => compare(old, new, lines),
            (None, true) => {}
        }
    }
}

fn policies(old: &Config, new: &Config, lines: &mut Vec<String>) {
    let place = |binding: &Binding| (binding.caller, binding.service);
    let find = |config: &Config, wanted: &Binding| {
        config.bindings.iter().position(|binding| place(binding) == place(wanted))
    };
    for binding in &new.bindings {
        match find(old, binding) {
            Some(before) => rules(&old.bindings[before].policy, &binding.policy, lines),
            None => lines.push(format!("policy {} added: {}", binding.policy.name, mode(binding))),
        }
    }
    for binding in old.bindings.iter().filter(|binding| find(new, binding).is_none()) {
        lines.push(format!("policy {} removed", binding.policy.name));
    }
}

fn mode(binding: &Binding) -> String {
    match (binding.policy.mode, binding.policy.enforce_percent) {
        (Mode::Observe, _) => "observes".to_owned(),
        (Mode::Enforce, 100) => "enforces".to_owned(),
        (Mode::Enforce, percent) => format!("enforces for {percent} % of the caller's cgroups"),
    }
}

fn rules(old: &Policy, new: &Policy, lines: &mut Vec<String>) {
    let whose = format!("policy {}", new.name);
    changed(&whose, "name", &old.name, &new.name, lines);
    let name = |mode: Mode| match mode {
        Mode::Observe => "observe",
        Mode::Enforce => "enforce",
    };
    changed(&whose, "mode", name(old.mode), name(new.mode), lines);
    let (before, after) = (old.enforce_percent, new.enforce_percent);
    changed(&whose, "enforce_percent", &before, &after, lines);
    let open = |policy: &Policy| {
        (policy.shed, policy.delay_jitter_ms, policy.established, policy.open.clone())
    };
    let tables = [
        ("trip", old.trip != new.trip),
        ("open", open(old) != open(new)),
        ("half_open", old.half_open != new.half_open),
        ("recovery", old.ramp != new.ramp),
        ("throttle", old.throttle != new.throttle),
        ("safety", old.safety != new.safety),
    ];
    for (table, _) in tables.iter().filter(|(_, differs)| *differs) {
        lines.push(format!("{whose}: {table} changed"));
    }
    let patience = |policy: &Policy| time(policy.caller_timeout);
    changed(&whose, "caller_timeout", &patience(old), &patience(new), lines);
    changed(&whose, "turns_to_skip", &old.turns_to_skip, &new.turns_to_skip, lines);
    changed(&whose, "answers", &old.answers, &new.answers, lines);
}

fn changed<T: PartialEq + Display + ?Sized>(
    whose: &str,
    what: &str,
    old: &T,
    new: &T,
    lines: &mut Vec<String>,
) {
    if old != new {
        lines.push(format!("{whose}: {what} {old} -> {new}"));
    }
}

/// What a list has gained and lost, or that its order, which says who comes first, is another.
fn listed<T: PartialEq + Display>(
    whose: &str,
    what: &str,
    old: &[T],
    new: &[T],
    lines: &mut Vec<String>,
) {
    let before = lines.len();
    for added in new.iter().filter(|it| !old.contains(it)) {
        lines.push(format!("{whose}: {added} added to {what}"));
    }
    for removed in old.iter().filter(|it| !new.contains(it)) {
        lines.push(format!("{whose}: {removed} removed from {what}"));
    }
    if lines.len() == before && old != new {
        lines.push(format!("{whose}: {what} in another order"));
    }
}

fn time(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
[[caller]]
name = "web"
cgroups = ["/web"]
[[service]]
name = "db"
endpoints = ["10.0.0.1:5432", "10.0.0.2:5432"]
[[policy]]
caller = "web"
service = "db"
"#;

    fn parse(text: &str) -> Config {
        Config::parse("f", text).expect("good")
    }

    /// What is said when `from` becomes `to` in the file.
    fn changes(from: &str, to: &str) -> Vec<String> {
        assert!(FILE.contains(from), "{from}");
        let old = parse(FILE);
        let new = parse(&FILE.replacen(from, to, 1)).taking_over(&old, 2);
        old.changes(&new)
    }

    #[test]
    fn what_makes_no_difference_makes_no_line() {
        let none: [&str; 0] = [];
        assert_eq!(changes("[[caller]]", "# a comment\n[[caller]]"), none);
        assert_eq!(changes("[[policy]]", "[node]\ntick = \"0.1s\"\n[[policy]]"), none);
        assert_eq!(changes("service = \"db\"\n", "service = \"db\"\nmode = \"observe\"\n"), none);
    }

    #[test]
    fn each_change_makes_a_line() {
        let end = "service = \"db\"\n";
        let with = |more: &str| changes(end, &format!("{end}{more}\n"));
        assert_eq!(with("mode = \"enforce\""), ["policy web:db: mode observe -> enforce"]);
        assert_eq!(with("name = \"other\""), ["policy other: name web:db -> other"]);
        assert_eq!(with("open.base = \"7s\""), ["policy web:db: open changed"]);
        assert_eq!(
            with("trip.consecutive = 9\ncaller_timeout = \"2s\""),
            ["policy web:db: trip changed", "policy web:db: caller_timeout 1s -> 2s"]
        );
        assert_eq!(
            changes("[\"/web\"]", "[\"/web-*\"]"),
            ["caller web: /web-* added to cgroups", "caller web: /web removed from cgroups"]
        );
        assert_eq!(
            changes("\"10.0.0.1:5432\", \"10.0.0.2:5432\"", "\"10.0.0.2:5432\", \"10.0.0.1:5432\""),
            ["service db: endpoints in another order"]
        );
        assert_eq!(
            changes("[[policy]]", "[node]\ntick = \"50ms\"\nwatch = false\n[[policy]]"),
            ["node: tick 100ms -> 50ms", "node: watch true -> false"]
        );
        assert_eq!(
            changes("[[policy]]", "[node]\njournal = { files = 2 }\n[[policy]]"),
            ["node: journal.files 4 -> 2"]
        );
        assert_eq!(
            changes("[[policy]]", "udp = true\n[[policy]]"),
            ["service db: udp false -> true"]
        );
    }

    #[test]
    fn what_comes_and_what_goes_is_named() {
        let old = parse(FILE);
        let new = FILE.replace("\"web\"", "\"app\"");
        let new = parse(&new).taking_over(&old, 2);
        let lines = [
            "caller web removed",
            "caller app added",
            "policy app:db added: observes",
            "policy web:db removed",
        ];
        assert_eq!(old.changes(&new), lines);
        let back = parse(FILE).taking_over(&new, 3);
        assert_eq!(new.changes(&back)[..2], ["caller web added", "caller app removed"]);
    }

    #[test]
    fn what_takes_a_restart_is_named() {
        let old = parse(FILE).node;
        let fixed =
            |setting: &str| old.fixed_difference(&parse(&format!("[node]\n{setting}{FILE}")).node);
        assert_eq!(fixed("max_endpoints = 7"), Some("max_endpoints"));
        assert_eq!(fixed("socket_group = \"adm\""), Some("socket_group"));
        assert_eq!(fixed("listen = \"127.0.0.1:9\""), Some("listen"));
        assert_eq!(fixed("state_dir = \"\""), Some("state_dir"));
        assert_eq!(fixed("otlp = \"http://127.0.0.1:9\""), Some("otlp"));
        assert_eq!(fixed("tick = \"50ms\""), None);
    }
}
