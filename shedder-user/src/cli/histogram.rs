//! `shedder histogram`: how long an endpoint's handshakes and answers take.

use std::fmt::Write as _;

use clap::Args;

use super::chart;
use super::output::{Glyphs, latency};
use super::{Failure, Reach};
use crate::api::Selection;
use crate::api::model::{BreakerName, Histogram, Histograms};

/// Show how long an endpoint's handshakes and answers took since it is known, as the kernel counted
/// them
///
/// RESPONSE is from the last byte of a request to the first byte of its answer, CONNECT from the SYN
/// to the established connection. ROUND TRIP is there where a policy has a rule about it. The latencies
/// of all callers are added up, unless one is named.
#[derive(Debug, Args)]
pub(super) struct Latencies {
    #[command(flatten)]
    reach: Reach,
    /// Address and port, as `shedder status` shows them
    endpoint: String,
    /// Only this caller's
    #[arg(long, value_name = "NAME")]
    caller: Option<String>,
    /// Only in this network namespace, as `shedder status` shows it: net:[4026531840]
    #[arg(long, value_name = "NETWORK")]
    network: Option<String>,
    /// Print the whole answer as JSON
    #[arg(long)]
    json: bool,
}

impl Latencies {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let Self { reach, endpoint, caller, network, json } = self;
        let of = Selection { endpoint, caller, network };
        let histograms = reach.ask(async |client| client.histogram(&of).await)?;
        if json {
            let json = serde_json::to_string(&histograms).map_err(anyhow::Error::from)?;
            println!("{json}");
        } else {
            print!("{}", text(&histograms, Glyphs::of_locale()));
        }
        Ok(())
    }
}

fn text(histograms: &Histograms, glyphs: Glyphs) -> String {
    let mut text = String::new();
    for breaker in &histograms.breakers {
        writeln!(text, "{breaker}").expect("to a string");
    }
    let Histograms { connect, response, round_trip, .. } = histograms;
    let parts = [
        ("response", Some(response)),
        ("connect", Some(connect)),
        ("round trip", round_trip.as_ref()),
    ];
    let parts = parts.into_iter().filter_map(|(name, part)| Some((name, part?)));
    let most = if round_trip.is_some() { 5 } else { 8 };
    for (name, histogram) in parts {
        text.push_str(&part(name, histogram, most, glyphs));
    }
    if let Some(BreakerName { endpoint, .. }) = histograms.breakers.first() {
        writeln!(text, "\nNext: `shedder explain {endpoint}` tells what its breaker makes of it.")
            .expect("to a string");
    }
    text
}

fn part(name: &str, histogram: &Histogram, most: usize, glyphs: Glyphs) -> String {
    let Histogram { samples, p50_us, p99_us, .. } = histogram;
    if *samples == 0 {
        return format!("\n{name}: nothing was measured\n");
    }
    let (p50, p99) = (latency(*p50_us), latency(*p99_us));
    let mut text = format!("\n{name}: {samples} measured, p50 {p50}, p99 {p99}\n");
    let rows = chart::rows(histogram, most);
    let longest = rows.iter().map(|row| row.count).max().unwrap_or(0);
    for row in rows {
        let (from, below) = (latency(Some(row.from_us)), latency(Some(row.below_us)));
        let bar = chart::bar(row.count, longest, BAR, glyphs);
        writeln!(text, "{from:>8} - {below:<8} {bar:<BAR$} {}", row.count).expect("to a string");
    }
    text
}

/// The longest bar: with its labels it fits into 80 columns.
const BAR: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::model::Bucket;

    #[test]
    fn a_chart_fits_one_screen_and_names_its_units() {
        let bucket = |from_us: u64, count| Bucket { from_us, below_us: from_us + 1, count };
        let wide = Histogram {
            samples: 111,
            p50_us: Some(96),
            p99_us: Some(5_000_000),
            buckets: vec![bucket(96, 100), bucket(5_000_000, 11)],
        };
        let name = BreakerName {
            caller: "web".to_owned(),
            service: "db".to_owned(),
            endpoint: "10.0.0.11:5432".to_owned(),
            network: None,
        };
        let histograms = Histograms {
            breakers: vec![name],
            connect: Histogram::default(),
            response: wide.clone(),
            round_trip: Some(wide),
        };
        let shown = text(&histograms, Glyphs::Ascii);
        assert!(shown.starts_with("web calling db at 10.0.0.11:5432\n"), "{shown}");
        assert!(shown.contains("\nresponse: 111 measured, p50 96us, p99 5000ms\n"), "{shown}");
        assert!(shown.contains("\nconnect: nothing was measured\n"), "{shown}");
        assert!(shown.contains("############"), "{shown}");
        assert!(
            shown.lines().count() <= 24 && shown.lines().all(|line| line.len() <= 80),
            "{shown}"
        );
        assert!(shown.is_ascii(), "{shown}");
        let next = "\nNext: `shedder explain 10.0.0.11:5432` tells what its breaker makes of it.\n";
        assert!(shown.ends_with(next), "{shown}");
    }
}
