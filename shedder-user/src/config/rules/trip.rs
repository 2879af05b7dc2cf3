//! `trip`: which rules act on the breaker.

use super::super::error::Complaint;
use super::super::suggestion::did_you_mean;
use super::super::value::{At, Text, Time, alternatives};
use super::latency::{Apdex, Latency, SloDrift, SlowShare};
use super::layer::{Layer, layer};
use super::limit::Terms;
use super::share::{FailureShare, InFlight, Outlier, RetransmitShare, Surge};
use crate::engine::{Response, Rule, Strategy, TripRule};

/// The table of a trip rule.
pub(super) trait TripTable {
    /// The strategy it makes, its own settings over the usual ones.
    fn strategy(&self) -> Result<Strategy, Complaint>;
}

/// Declares the table of a trip rule: its own settings, and those every rule may have.
macro_rules! rule_table {
    (
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }
        $(either { $($alternative:ident),+ })*
    ) => {
        layer! {
            $(#[$meta])*
            $visibility struct $name {
                $($(#[$field_meta])* $field: $type,)*
                /// At how many looks in a row it must hold; at one without it.
                #[schemars(extend("minimum" = 1, "maximum" = 1000))]
                r#for: At<u32>,
                /// How far these looks are apart; needs `for`. Without it every look counts.
                #[schemars(extend("x-minimum" = "0s", "x-maximum" = "10m", "default" = "0s"))]
                every: Time,
                /// What it does: opens the breaker, sheds a share, or only tells.
                #[schemars(extend("default" = "open"))]
                then: At<Response>,
            }
            $(either { $($alternative),+ })*
        }

        impl $name {
            pub(super) const fn terms(&self) -> $crate::config::rules::limit::Terms<'_> {
                $crate::config::rules::limit::Terms {
                    evaluations: self.r#for.as_ref(),
                    every: self.every.as_ref(),
                    then: self.then.as_ref(),
                }
            }
        }
    };
}

pub(super) use rule_table;

/// Declares a table that holds trip rules, and other settings besides.
macro_rules! rule_set {
    (
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }
        $(first $prepare:path)?
    ) => {
        rule_set! {
            @with {
                /// Too great a share of outcomes are failures.
                failure_share: FailureShare,
                /// A quantile of a latency is over a limit.
                latency: Latency,
                /// Too great a share of latencies are over a limit.
                slow_share: SlowShare,
                /// Too few answers come within the time that satisfies.
                apdex: Apdex,
                /// A quantile is over a threshold that follows it, from an objective upwards.
                slo_drift: SloDrift,
                /// Too great a share of segments are sent again.
                retransmit_share: RetransmitShare,
                /// Far worse than the other endpoints of the service; only one in a policy.
                outlier: Outlier,
                /// Failures come far more often than usual.
                surge: Surge,
                /// More connections are in use than there may be.
                in_flight: InFlight,
            }
            $(#[$meta])*
            $visibility struct $name { $($(#[$field_meta])* $field: $type,)* }
            $(first $prepare)?
        }
    };
    (
        @with { $($(#[$rule_meta:meta])* $rule:ident: $table:ty,)* }
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }
        $(first $prepare:path)?
    ) => {
        layer! {
            $(#[$meta])*
            $visibility struct $name {
                /// Failures in a row: refused, timed out, unreachable, or reset before an answer.
                #[schemars(extend("minimum" = 1, "maximum" = 100_000))]
                consecutive: At<u32>,
                $($(#[$rule_meta])* $rule: $table,)*
                $($(#[$field_meta])* $field: $type,)*
            }
            $(first $prepare)?
        }

        impl $name {
            /// Every rule, with its terms where it can have any.
            fn rules(&self) -> Result<Vec<(Strategy, Option<Terms<'_>>)>, Complaint> {
                let mut rules = Vec::new();
                if let Some(failures) = &self.consecutive {
                    rules.push((Strategy::Consecutive { failures: failures.value }, None));
                }
                $(
                    if let Some(table) = &self.$rule {
                        rules.push((table.strategy()?, Some(table.terms())));
                    }
                )*
                Ok(rules)
            }
        }

        impl $name {
            /// What rules it can hold.
            const NAMES: &[&str] = &["consecutive", $(stringify!($rule),)*];
        }
    };
}

rule_set! {
    /// `trip`
    pub(in crate::config) struct Trip {
        /// Several rules that must hold at once.
        all: All,
        /// Rules of the preset that are not wanted.
        without: Vec<Text>,
    }
    first Trip::drop_unwanted
}

rule_set! {
    /// `trip.all`
    pub(in crate::config) struct All {
        /// At how many looks in a row they must hold; at one without it.
        #[schemars(extend("minimum" = 1, "maximum" = 1000))]
        r#for: At<u32>,
        /// How far these looks are apart; needs `for`. Without it every look counts.
        #[schemars(extend("x-minimum" = "0s", "x-maximum" = "10m", "default" = "0s"))]
        every: Time,
        /// What they do together: open the breaker, shed a share, or only tell.
        #[schemars(extend("default" = "open"))]
        then: At<Response>,
    }
}

/// The names of all rules there are.
pub(in crate::config) fn trip_rules() -> impl Iterator<Item = &'static str> {
    Trip::NAMES.iter().copied()
}

impl Trip {
    /// The rules, in the order in which they are looked at.
    pub(super) fn resolve(&self) -> Result<Vec<TripRule>, Complaint> {
        for name in self.without.iter().flatten() {
            if name.value != "all" && !Self::NAMES.contains(&name.value.as_str()) {
                return Err(name.complaint(format!(
                    "{:?} is no trip rule; use {}, or all{}",
                    name.value,
                    Self::NAMES.join(", "),
                    did_you_mean(&name.value, Self::NAMES.iter().copied())
                )));
            }
        }
        let mut trips = Vec::new();
        for (strategy, terms) in self.rules()? {
            let rule = Rule::One(strategy);
            trips.push(match terms {
                Some(terms) => terms.trip(rule)?,
                None => TripRule::opens(rule),
            });
        }
        if let Some(all) = &self.all {
            trips.push(all.resolve()?);
        }
        Ok(trips)
    }

    /// Drops what the layer above does not want.
    fn drop_unwanted(&self, base: &mut Self) {
        for name in self.without.iter().flatten() {
            base.forget(&name.value);
        }
    }
}

impl All {
    fn resolve(&self) -> Result<TripRule, Complaint> {
        let mut parts = Vec::new();
        for (strategy, terms) in self.rules()? {
            let rule = Rule::One(strategy);
            parts.push(match terms {
                Some(terms) => terms.part(rule)?,
                None => rule,
            });
        }
        if parts.is_empty() {
            let message = format!("trip.all holds no rule; use {}", alternatives(Self::NAMES));
            return Err(Complaint::maybe_at(self.place(""), message));
        }
        let terms = Terms {
            evaluations: self.r#for.as_ref(),
            every: self.every.as_ref(),
            then: self.then.as_ref(),
        };
        terms.trip(Rule::All(parts))
    }
}
