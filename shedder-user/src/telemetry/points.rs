//! The families of the metrics as data points.
//!
//! Invariant: the same names, labels and values as the text for Prometheus has, cut into requests that
//! every collector accepts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::common::v1::KeyValue;
#[cfg(test)]
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram as Histograms, HistogramDataPoint, Metric,
    NumberDataPoint, Sum,
};

use super::attributes;
use crate::metrics::{Family, Form, Histogram, Kind, Labels, Snapshot, Value, tell};

/// The metrics of one moment.
#[derive(Debug)]
pub struct Points {
    /// The metrics of each request, and how many points they have.
    pub(super) requests: Vec<(Vec<Metric>, u64)>,
    family: Option<&'static Family>,
    /// Since when sums are counted, and of when they are; nanoseconds since 1970.
    times: (u64, u64),
}

/// Everything a snapshot tells, as of `now`.
pub fn points(snapshot: &Snapshot<'_>, now: SystemTime) -> Points {
    let started = Duration::try_from_secs_f64(snapshot.started).unwrap_or_default();
    let times = (nanos(UNIX_EPOCH + started), nanos(now));
    let mut points = Points { requests: Vec::new(), family: None, times };
    tell(snapshot, &mut points);
    points
}

/// Nanoseconds since 1970.
pub(super) fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

impl Points {
    /// Where the next point of the family goes.
    fn data(&mut self) -> Option<&mut Data> {
        let family = self.family?;
        if self.requests.last().is_none_or(|(_, points)| *points >= POINTS_AT_ONCE) {
            self.requests.push((Vec::new(), 0));
        }
        let (metrics, points) = self.requests.last_mut()?;
        *points += 1;
        if metrics.last().is_none_or(|metric| metric.name != family.name) {
            metrics.push(metric(family));
        }
        metrics.last_mut()?.data.as_mut()
    }
}

impl Form for Points {
    fn family(&mut self, family: &'static Family) -> &mut Self {
        self.family = Some(family);
        self
    }

    fn put(&mut self, labels: &Labels<'_>, value: impl Into<Value>) {
        let (start_time_unix_nano, time_unix_nano) = self.times;
        let value = match value.into() {
            Value::Count(count) => Number::AsInt(i64::try_from(count).unwrap_or(i64::MAX)),
            Value::Measure(measure) => Number::AsDouble(measure),
        };
        let mut point = NumberDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano,
            time_unix_nano,
            value: Some(value),
            ..NumberDataPoint::default()
        };
        match self.data() {
            Some(Data::Sum(sum)) => sum.data_points.push(point),
            Some(Data::Gauge(gauge)) => {
                point.start_time_unix_nano = 0;
                gauge.data_points.push(point);
            }
            Some(Data::Histogram(_) | Data::ExponentialHistogram(_) | Data::Summary(_)) | None => {
                debug_assert!(false, "a family of numbers was begun");
            }
        }
    }

    fn put_histogram(&mut self, labels: &Labels<'_>, histogram: &Histogram) {
        let (start_time_unix_nano, time_unix_nano) = self.times;
        let (bounds, counts) = histogram.buckets();
        let point = HistogramDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano,
            time_unix_nano,
            count: histogram.count(),
            sum: Some(histogram.sum()),
            bucket_counts: counts.to_vec(),
            explicit_bounds: bounds.to_vec(),
            ..HistogramDataPoint::default()
        };
        if let Some(Data::Histogram(histogram)) = self.data() {
            histogram.data_points.push(point);
        }
    }
}

fn attributes(labels: &Labels<'_>) -> Vec<KeyValue> {
    labels.iter().map(|(name, value)| attributes::text(name, value)).collect()
}

fn metric(family: &Family) -> Metric {
    let aggregation_temporality = AggregationTemporality::Cumulative.into();
    let data = match family.kind {
        Kind::Counter => {
            Data::Sum(Sum { data_points: Vec::new(), aggregation_temporality, is_monotonic: true })
        }
        Kind::Gauge => Data::Gauge(Gauge { data_points: Vec::new() }),
        Kind::Histogram => {
            Data::Histogram(Histograms { data_points: Vec::new(), aggregation_temporality })
        }
    };
    let base = family.name.trim_end_matches("_total");
    let unit = if base.ends_with("_seconds") {
        "s"
    } else if base.ends_with("_bytes") {
        "By"
    } else {
        ""
    };
    Metric {
        name: family.name.to_owned(),
        description: family.help.to_owned(),
        unit: unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

/// About 400 KiB encoded; the least a collector accepts by default is 4 MiB.
const POINTS_AT_ONCE: u64 = 2000;

#[cfg(test)]
impl Points {
    /// Each point as a line of the text, and of histograms only sum and count.
    pub(crate) fn as_lines(&self) -> Vec<String> {
        let labels = |attributes: &[KeyValue], suffix: &str, name: &str| {
            let pairs: Vec<String> = attributes
                .iter()
                .map(|it| match it.value.as_ref().and_then(|value| value.value.as_ref()) {
                    Some(AnyValue::StringValue(text)) => format!("{}={text:?}", it.key),
                    other => panic!("{other:?}"),
                })
                .collect();
            let pairs = pairs.join(",");
            if pairs.is_empty() {
                format!("{name}{suffix}")
            } else {
                format!("{name}{suffix}{{{pairs}}}")
            }
        };
        let mut lines = Vec::new();
        for metric in self.requests.iter().flat_map(|(metrics, _)| metrics) {
            let Some(Data::Gauge(Gauge { data_points }) | Data::Sum(Sum { data_points, .. })) =
                &metric.data
            else {
                let Some(Data::Histogram(histogram)) = &metric.data else { panic!("{metric:?}") };
                for point in &histogram.data_points {
                    let of = |suffix| labels(&point.attributes, suffix, &metric.name);
                    assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
                    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
                    lines.push(format!("{} {}", of("_sum"), point.sum.expect("it has one")));
                    lines.push(format!("{} {}", of("_count"), point.count));
                }
                continue;
            };
            for point in data_points {
                let value = match point.value.expect("it has one") {
                    Number::AsInt(count) => count.to_string(),
                    Number::AsDouble(measure) => measure.to_string(),
                };
                lines.push(format!("{} {value}", labels(&point.attributes, "", &metric.name)));
            }
        }
        lines
    }
}
