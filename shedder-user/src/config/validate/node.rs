//! Settings of the daemon: every one in its range.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::super::error::Complaint;
use super::super::file;
use super::super::value::{At, Text, Time, permille};
use super::super::{JournalLimits, Node, Otlp};
use crate::engine::NodeRules;

/// What the file says over what holds without it.
pub(super) fn node(file: file::Node) -> Result<Node, Complaint> {
    let default = Node::default();
    let file::Node {
        tick,
        verdict_ttl,
        max_endpoints,
        max_held,
        forget_after,
        socket,
        socket_group,
        listen,
        listen_anywhere,
        metrics_endpoints,
        state_dir,
        journal,
        otlp,
        otlp_headers,
        otlp_interval,
        pin_dir,
        rescan,
        watch,
        brakes,
    } = file;
    let second = Duration::from_secs(1);
    let tick = within("tick", tick, default.tick, second / 100, 10 * second)?;
    let verdict_ttl =
        within("verdict_ttl", verdict_ttl, default.verdict_ttl, tick * 3, 60 * second)?;
    let rescan = within("rescan", rescan, default.rescan, second / 20, 600 * second)?;
    Ok(Node {
        tick,
        verdict_ttl,
        max_endpoints: number(
            "max_endpoints",
            max_endpoints,
            default.max_endpoints,
            1..=shedder_common::map::MAX_SLOTS,
        )?,
        max_held: number("max_held", max_held, default.max_held, 1..=1_000_000)?,
        forget_after: within(
            "forget_after",
            forget_after,
            default.forget_after,
            second,
            7 * 86_400 * second,
        )?,
        socket: socket.map_or(default.socket, PathBuf::from),
        socket_group,
        listen: listen.map(|given| address(&given, listen_anywhere)).transpose()?,
        metrics_endpoints: number(
            "metrics_endpoints",
            metrics_endpoints,
            default.metrics_endpoints,
            0..=5000,
        )?,
        state_dir: match state_dir {
            Some(given) => directory(&given)?,
            None => default.state_dir,
        },
        journal: journal_limits(&journal.unwrap_or_default(), default.journal)?,
        otlp: collector(otlp, otlp_headers, otlp_interval)?,
        pin_dir: pin_dir.map_or(default.pin_dir, PathBuf::from),
        rescan,
        watch: watch.unwrap_or(default.watch),
        rules: node_rules(brakes.unwrap_or_default(), &default.rules)?,
    })
}

/// Where to listen. Nobody is asked who they are there, so other machines are let in only by a second word.
fn address(given: &Text, anywhere: bool) -> Result<SocketAddr, Complaint> {
    let text = &given.value;
    let address: SocketAddr = text.parse().map_err(|_not_an_address| {
        given.complaint(format!("{text:?} is no address and port; write 127.0.0.1:9464"))
    })?;
    if address.ip().is_loopback() || anywhere {
        return Ok(address);
    }
    Err(given.complaint(format!(
        "listen is {address}, which other machines may reach, and whoever reaches it reads what this node calls: write 127.0.0.1:{}, or set listen_anywhere = true",
        address.port(),
    )))
}

/// Where to keep what outlives the daemon; nowhere if the name is empty.
fn directory(given: &Text) -> Result<Option<PathBuf>, Complaint> {
    let path = PathBuf::from(&given.value);
    if given.value.is_empty() {
        return Ok(None);
    }
    if path.is_absolute() {
        return Ok(Some(path));
    }
    Err(given.complaint(format!(
        "state_dir is {:?}, and means another directory wherever the daemon is started: begin it with /, or set it to \"\" to keep no journal",
        given.value
    )))
}

fn journal_limits(
    file: &file::Journal,
    default: JournalLimits,
) -> Result<JournalLimits, Complaint> {
    let file::Journal { max_kib, files } = file;
    let size = 16..=1024 * 1024;
    Ok(JournalLimits {
        max_kib: number("journal.max_kib", max_kib.clone(), default.max_kib, size)?,
        files: number("journal.files", files.clone(), default.files, 1..=100)?,
    })
}

/// The collector, and what belongs to it.
fn collector(
    url: Option<Text>,
    headers: Option<BTreeMap<String, Text>>,
    interval: Option<Time>,
) -> Result<Option<Otlp>, Complaint> {
    let second = Duration::from_secs(1);
    let period = within("otlp_interval", interval, 30 * second, second, 3600 * second)?;
    let Some(url) = url else {
        let lone = headers.and_then(|headers| headers.into_values().next());
        return match lone {
            Some(value) => Err(value.complaint(
                "otlp_headers without otlp: write otlp = \"http://127.0.0.1:4318\" too",
            )),
            None => Ok(None),
        };
    };
    Otlp::of(&url, headers.unwrap_or_default(), period).map(Some)
}

fn node_rules(brakes: file::Brakes, default: &NodeRules) -> Result<NodeRules, Complaint> {
    let file::Brakes { trips_per_minute, refusals_per_second, caller_refused, suspect } = brakes;
    let share = |field: &str, given: Option<At<f64>>, default| {
        let Some(given) = given else { return Ok(default) };
        let field = format!("brakes.{field}");
        let permille = permille(&field, &given)?;
        // Nothing at all would stop at the first, which no one can mean.
        if permille == 0 {
            let message = format!("{field} is {}, outside 0.001 to 1", given.value);
            return Err(given.complaint(message));
        }
        Ok(permille)
    };
    Ok(NodeRules {
        trips_per_minute: number(
            "brakes.trips_per_minute",
            trips_per_minute,
            default.trips_per_minute,
            1..=1_000_000,
        )?,
        refusals_per_second: number(
            "brakes.refusals_per_second",
            refusals_per_second,
            default.refusals_per_second,
            1..=1_000_000_000,
        )?,
        caller_refused_permille: share(
            "caller_refused",
            caller_refused,
            default.caller_refused_permille,
        )?,
        suspect_permille: share("suspect", suspect, default.suspect_permille)?,
    })
}

fn within(
    field: &str,
    given: Option<Time>,
    default: Duration,
    least: Duration,
    most: Duration,
) -> Result<Duration, Complaint> {
    given.map_or_else(|| Ok(default.clamp(least, most)), |given| given.between(field, least, most))
}

fn number<T: Copy + PartialOrd + Display>(
    field: &str,
    given: Option<At<T>>,
    default: T,
    range: RangeInclusive<T>,
) -> Result<T, Complaint> {
    given.map_or(Ok(default), |given| given.within(field, range))
}
