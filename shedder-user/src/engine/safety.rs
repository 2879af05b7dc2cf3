//! What keeps many breakers together from doing harm that each by itself could not see: a cap on
//! what may be open, who else sees the fault, and brakes for the node as a whole.
//!
//! Invariant: it objects, it never trips anything by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shedder_common::time::Monotonic;

use super::CellId;
use super::breaker::Breaker;
use super::cells::Cells;
use super::evidence::Counts;
use super::notice::{Brake, Notice};
use super::peers::Peers;
use super::policy::{Lone, ScopeRule, ShedAction};
use super::state::State;
use super::tally::Tally;
use super::transition::{Restraint, Scope};

mod brakes;
mod group;
mod node_rules;
mod openings;
mod services;
mod suspicion;

pub use self::node_rules::NodeRules;

use self::brakes::Usage;
use self::group::Group;
use self::openings::allowed_open;
use self::services::Services;

/// Where a breaker belongs. The numbers are the shell's; only their equality matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Who calls.
    pub caller: u32,
    /// What is called.
    pub service: u32,
    /// Where: the same number for every caller of an address and port.
    pub endpoint: u32,
}

/// Memory of what the node as a whole has done.
#[derive(Debug)]
pub(super) struct Safety {
    rules: NodeRules,
    groups: BTreeMap<(u32, u32), Group>,
    endpoints: BTreeMap<u32, Vec<CellId>>,
    services: Services,
    callers: BTreeMap<u32, Usage>,
    /// For whom nothing more is opened, and why.
    braking: BTreeMap<u32, Brake>,
    /// For whom the node is suspect.
    suspects: BTreeSet<u32>,
    /// Something has changed that may keep any breaker from opening.
    is_stirred: bool,
    /// Groups of which something else holds than their breakers were told.
    changed: Vec<(u32, u32)>,
}

/// What holds for every breaker of a group.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Standing {
    /// So much of the service fails that shedding protects nobody.
    pub(super) is_panicking: bool,
    /// A breaker that wished to open now would be let, as last reckoned: it may be more careful than
    /// [`Safety::rule`], never less.
    pub(super) lets_open: bool,
}

/// What may be done about a wish to open.
#[derive(Debug)]
pub(super) enum Ruling {
    /// Open, and these callers of the same endpoint with it.
    Open { scope: Scope, with: Vec<CellId>, yields: Option<CellId> },
    /// Shed a share only.
    Throttle { scope: Scope, restraint: Restraint },
    /// Leave everything as it is.
    Nothing,
}

impl Safety {
    pub(super) fn new(rules: NodeRules) -> Self {
        Self {
            rules,
            groups: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            services: Services::default(),
            callers: BTreeMap::new(),
            braking: BTreeMap::new(),
            suspects: BTreeSet::new(),
            is_stirred: false,
            changed: Vec::new(),
        }
    }

    pub(super) fn insert(&mut self, cell: CellId, place: Place) {
        self.groups.entry((place.caller, place.service)).or_insert_with(Group::new).insert(cell);
        self.endpoints.entry(place.endpoint).or_default().push(cell);
        self.services.insert(place.service);
    }

    pub(super) fn remove(&mut self, cell: CellId, place: Place) {
        if let Some(group) = self.groups.get_mut(&(place.caller, place.service)) {
            group.remove(cell);
        }
        if let Some(cells) = self.endpoints.get_mut(&place.endpoint) {
            cells.retain(|other| *other != cell);
            // Its number does not come again.
            if cells.is_empty() {
                self.endpoints.remove(&place.endpoint);
            }
        }
    }

    pub(super) fn replace_rules(&mut self, rules: NodeRules) {
        self.rules = rules;
        self.is_stirred = true;
    }

    /// Forgets the groups without cells that are not wanted, and callers and services without groups.
    pub(super) fn forget_groups(&mut self, is_wanted: impl Fn(u32, u32) -> bool) {
        let Self { groups, services, callers, braking, suspects, .. } = self;
        groups.retain(|(caller, service), group| {
            !group.cells.is_empty() || is_wanted(*caller, *service)
        });
        services.retain(|service| groups.keys().any(|(_, other)| *other == service));
        callers.retain(|caller, _| groups.keys().any(|(other, _)| other == caller));
        braking.retain(|caller, _| callers.contains_key(caller));
        suspects.retain(|caller| callers.contains_key(caller));
        services.retain_callers(|caller| callers.contains_key(&caller));
    }

    /// The cells of one caller and service.
    pub(super) fn group(&self, place: Place) -> &[CellId] {
        self.groups.get(&(place.caller, place.service)).map_or(&[], |group| &group.cells)
    }

    /// Whether a breaker is among those that may be in use.
    #[cfg(test)]
    pub(super) fn counts_as_used(&self, cell: CellId, place: Place, all: &Cells) -> bool {
        let group = self.groups.get(&(place.caller, place.service));
        group.is_some_and(|group| group.used(all).any(|(other, _)| other == cell))
    }

    /// What the endpoints of one caller and service have in common, reckoned once for each look.
    pub(super) fn peers(&mut self, place: Place, all: &Cells, now: Monotonic) -> Peers {
        let Some(group) = self.groups.get_mut(&(place.caller, place.service)) else {
            return Peers::of(Vec::new());
        };
        if let Some((at, peers)) = group.peers
            && at == now
        {
            return peers;
        }
        let measure = |cell: &CellId| all.breaker(*cell)?.measure(now);
        let peers = Peers::of(group.cells.iter().filter_map(measure).collect());
        group.peers = Some((now, peers));
        peers
    }

    /// Whether the group's policy has been suspended.
    pub(super) fn is_suspended(&self, place: Place) -> bool {
        self.groups.get(&(place.caller, place.service)).is_some_and(|group| group.is_suspended)
    }

    /// What holds for every breaker of a caller and service.
    pub(super) fn standing(&self, place: Place) -> Standing {
        let group = self.groups.get(&(place.caller, place.service));
        group.map_or_else(Standing::default, Group::standing)
    }

    /// The breakers for which something else holds than before, and what.
    pub(super) fn poll_standing(&mut self) -> Option<(Vec<CellId>, Standing)> {
        while let Some(changed) = self.changed.pop() {
            // One that has gone meanwhile has no breakers left to tell.
            if let Some(group) = self.groups.get(&changed) {
                return Some((group.cells.clone(), group.standing()));
            }
        }
        None
    }

    /// Takes note of what a breaker saw. `enforces` says whether what was shed was refused.
    pub(super) fn observe(
        &mut self,
        cell: CellId,
        place: Place,
        counts: &Counts,
        enforces: bool,
        now: Monotonic,
    ) {
        if counts.attempts() > 0 {
            self.is_stirred |= self.services.note_traffic(place.service, now);
        }
        let group = self.groups.get_mut(&(place.caller, place.service));
        if let Some(group) = group
            && (counts.connects > 0 || counts.attempts() > 0)
        {
            group.use_it(cell);
        }
        if counts.connects == 0 && counts.shed == 0 {
            return;
        }
        let refused = if enforces { counts.shed } else { 0 };
        self.is_stirred |= refused > 0;
        self.callers.entry(place.caller).or_default().asked(counts.connects, refused, now);
        if let Some(group) = self.groups.get_mut(&(place.caller, place.service)) {
            group.ledger.add([counts.connects, 0], now);
        }
    }

    /// What may be done about a breaker's wish to open.
    pub(super) fn rule(
        &mut self,
        cell: CellId,
        severity: f64,
        all: &Cells,
        now: Monotonic,
        notices: &mut Vec<Notice>,
    ) -> Ruling {
        let (Some(place), Some(breaker)) = (all.place(cell), all.breaker(cell)) else {
            return Ruling::Nothing;
        };
        self.services.note_bad(place.service, place.caller, now);
        self.is_stirred = true;
        if self.suspect(place.caller, now, notices) || self.brake(place, now, notices) {
            return Ruling::Nothing;
        }
        let (scope, with) = self.scope(cell, place, all, now);
        match self.restrain(cell, place, breaker, severity, all, now) {
            Ok(yields) => Ruling::Open { scope, with, yields },
            Err(restraint) => Ruling::Throttle { scope, restraint },
        }
    }

    /// Counts a trip that was carried out.
    pub(super) fn tripped(&mut self, place: Place, now: Monotonic) {
        self.callers.entry(place.caller).or_default().tripped(now);
        self.is_stirred = true;
    }

    /// What keeps a breaker from opening for a reason that is none of its own rules.
    pub(super) fn restraint(
        &self,
        cell: CellId,
        all: &Cells,
        now: Monotonic,
    ) -> Result<(), Restraint> {
        let (Some(place), Some(breaker)) = (all.place(cell), all.breaker(cell)) else {
            return Ok(());
        };
        self.restrain(cell, place, breaker, 0.0, all, now).map(drop)
    }

    /// Adds refusals that were wrong; whether the policy has to stop enforcing by that.
    pub(super) fn refused_falsely(
        &mut self,
        cell: CellId,
        count: u64,
        all: &Cells,
        now: Monotonic,
    ) -> Option<Notice> {
        let place = all.place(cell)?;
        let permille = all.breaker(cell)?.policy().safety.false_refusals_permille?;
        let group = self.groups.get_mut(&(place.caller, place.service))?;
        group.ledger.add([0, count], now);
        group.refuted.add([1, 0], now);
        let [connects, refused] = group.ledger.sums(now);
        let [trips, _] = group.refuted.sums(now);
        // A short outage looks like a trip that was wrong; that it happens again and again does not.
        let is_over = trips >= MANY_REFUTED
            && refused >= FEW_REFUSALS
            && refused.saturating_mul(1000) > connects.saturating_mul(permille.into());
        if !is_over || group.is_suspended {
            return None;
        }
        group.is_suspended = true;
        Some(Notice::Suspended { cell, refused, connects, at: now })
    }

    /// Suspends the policy of a group, as an earlier daemon had.
    pub(super) fn suspend(&mut self, place: Place) {
        if let Some(group) = self.groups.get_mut(&(place.caller, place.service)) {
            group.is_suspended = true;
        }
    }

    /// Lets a suspended policy enforce again; whether it was suspended.
    pub(super) fn resume(&mut self, place: Place) -> bool {
        let Some(group) = self.groups.get_mut(&(place.caller, place.service)) else { return false };
        group.ledger = Tally::new(LEDGER);
        group.refuted = Tally::new(LEDGER);
        std::mem::take(&mut group.is_suspended)
    }

    /// Notes how much of a service fails after a change to `cell`.
    pub(super) fn reckon_panic(
        &mut self,
        cell: CellId,
        all: &Cells,
        now: Monotonic,
    ) -> Option<Notice> {
        let place = all.place(cell)?;
        let percent = all.breaker(cell)?.policy().safety.panic_percent;
        let group = self.groups.get_mut(&(place.caller, place.service))?;
        if percent.is_none() && !group.is_panicking {
            return None;
        }
        let breakers = group.used(all).map(|(_, breaker)| breaker);
        let active = breakers.clone().filter(|other| other.is_in_use(MINUTE, now)).count();
        let failing = breakers.filter(|other| is_failing(other)).count();
        let is_panicking = percent
            .is_some_and(|percent| active > 0 && failing * 100 >= active * usize::from(percent));
        if is_panicking == group.is_panicking {
            return None;
        }
        group.is_panicking = is_panicking;
        self.changed.push((place.caller, place.service));
        Some(Notice::Panic { cell, is_over: !is_panicking, failing, active, at: now })
    }

    /// Whose fault it is: this caller's alone, or the endpoint's.
    fn scope(
        &self,
        cell: CellId,
        place: Place,
        all: &Cells,
        now: Monotonic,
    ) -> (Scope, Vec<CellId>) {
        let others = self.endpoints.get(&place.endpoint).map_or(&[][..], Vec::as_slice);
        let others = others.iter().copied().filter(|other| *other != cell);
        let (mut failing, mut fine, mut unsure) = (0, 0, Vec::new());
        for other in others {
            let Some(breaker) = all.breaker(other) else { continue };
            if is_failing(breaker) {
                failing += 1;
            } else if breaker.is_served_well(now) {
                fine += 1;
            } else if breaker.is_in_use(MINUTE, now) && breaker.stage_state() == State::Closed {
                unsure.push(other);
            }
        }
        let decides_together = |cell: &CellId| {
            all.breaker(*cell)
                .is_some_and(|breaker| breaker.policy().safety.scope == ScopeRule::Endpoint)
        };
        if failing > 0 && decides_together(&cell) {
            unsure.retain(decides_together);
            return (Scope::Endpoint { callers: failing + 1 }, unsure);
        }
        let scope = if fine > 0 { Scope::Cell { fine } } else { Scope::OnlyCaller };
        (scope, Vec::new())
    }

    /// Why a breaker must not open, or the breaker that must yield to it.
    fn restrain(
        &self,
        cell: CellId,
        place: Place,
        breaker: &Breaker,
        severity: f64,
        all: &Cells,
        now: Monotonic,
    ) -> Result<Option<CellId>, Restraint> {
        let rule = &breaker.policy().safety;
        let Some(group) = self.groups.get(&(place.caller, place.service)) else { return Ok(None) };
        let others = group.used(all).filter(|(other, _)| *other != cell);
        let in_use = if matches!(breaker.policy().shed, ShedAction::Redirect(_)) {
            // A redirect uses every endpoint there is.
            group.cells.len().saturating_sub(1)
        } else {
            others.clone().filter(|(_, other)| other.is_in_use(MINUTE, now)).count()
        };
        if in_use == 0 {
            return match rule.lone {
                Lone::Open => Ok(None),
                Lone::Throttle => Err(Restraint::Lone),
            };
        }
        let active = in_use + 1;
        let is_open = |(_, other): &(CellId, &Breaker)| {
            matches!(other.stage_state(), State::Open | State::HalfOpen)
        };
        let open = others.clone().filter(is_open).count();
        let allowed = allowed_open(active, rule);
        if open < allowed {
            return Ok(None);
        }
        let mildest = others
            .filter(|(_, breaker)| breaker.stage_state() == State::Open)
            .min_by(|(_, a), (_, b)| a.severity().total_cmp(&b.severity()));
        if let Some((other, mildest)) = mildest
            && allowed > 0
            && severity > mildest.severity() + CLEARLY
        {
            return Ok(Some(other));
        }
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Err(Restraint::Cap {
            open: count(open),
            active: count(active),
            percent: rule.max_open_percent,
        })
    }
}

fn is_failing(breaker: &Breaker) -> bool {
    matches!(breaker.stage_state(), State::Open | State::HalfOpen | State::Throttled)
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
/// Over this time wrong refusals are held against a policy.
const LEDGER: Duration = Duration::from_mins(10);
/// Fewer refusals than this are no share of anything.
const FEW_REFUSALS: u64 = 20;
/// So many trips within the ledger must have been refuted by their first probes.
const MANY_REFUTED: u64 = 5;
/// A reason must be worse by this to take another's place.
const CLEARLY: f64 = 0.05;

#[cfg(test)]
mod tests {
    use super::*;

    /// Endpoints come and go by the hundred thousand, and each has a number of its own.
    #[test]
    fn what_is_removed_leaves_nothing() {
        let mut safety = Safety::new(NodeRules::default());
        let place = |endpoint| Place { caller: 1, service: 1, endpoint };
        for endpoint in 0..100 {
            // Two callers of the same one, one after the other.
            safety.insert(CellId(1), place(endpoint));
            safety.insert(CellId(2), Place { caller: 2, ..place(endpoint) });
            safety.remove(CellId(1), place(endpoint));
            assert_eq!(safety.endpoints.len(), 1);
            safety.remove(CellId(2), Place { caller: 2, ..place(endpoint) });
        }
        assert!(safety.endpoints.is_empty());
        assert!(safety.groups.values().all(|group| group.cells.is_empty()));
    }
}
