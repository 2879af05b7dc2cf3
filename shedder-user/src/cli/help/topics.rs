//! The topics: chapters of the book that a terminal can show.

/// One idea.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: &'static str,
    /// A few words.
    pub(super) about: &'static str,
    /// Markdown, in lines a terminal can show.
    pub(super) text: &'static str,
}

pub(super) const TOPICS: &[Topic] = &[
    Topic {
        name: "states",
        about: "what a breaker can be, and how it changes",
        text: include_str!("../../../../docs/concepts/states.md"),
    },
    Topic {
        name: "evidence",
        about: "what counts as a failure, and what counts as nothing",
        text: include_str!("../../../../docs/concepts/evidence.md"),
    },
    Topic {
        name: "rules",
        about: "what makes a breaker trip",
        text: include_str!("../../../../docs/concepts/rules.md"),
    },
    Topic {
        name: "verdicts",
        about: "what becomes of a connect, and what the application sees",
        text: include_str!("../../../../docs/concepts/verdicts.md"),
    },
    Topic {
        name: "recovery",
        about: "probes, and how traffic returns",
        text: include_str!("../../../../docs/concepts/recovery.md"),
    },
    Topic {
        name: "safety",
        about: "what keeps it from doing harm",
        text: include_str!("../../../../docs/concepts/safety.md"),
    },
    Topic {
        name: "policy",
        about: "the file: callers, services, policies",
        text: include_str!("../../../../docs/concepts/policy.md"),
    },
    Topic {
        name: "presets",
        about: "sets of rules to start from",
        text: include_str!("../../../../docs/concepts/presets.md"),
    },
    Topic {
        name: "observe",
        about: "how to introduce it without shedding anything",
        text: include_str!("../../../../docs/concepts/observe.md"),
    },
    Topic {
        name: "limits",
        about: "what it does not see, and does not do",
        text: include_str!("../../../../docs/concepts/limits.md"),
    },
];
