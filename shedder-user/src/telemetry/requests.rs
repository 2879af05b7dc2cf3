//! Requests as a collector reads them, and what it answers.

use std::fs;
use std::path::Path;

use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;

use super::attributes::text;

/// Who says it, the same in every request.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    resource: Resource,
    scope: InstrumentationScope,
}

impl Sender {
    /// This daemon on this node.
    pub(super) fn here() -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        // As OpenTelemetry names a host; a container may have none.
        let machine = fs::read_to_string(Path::new("/etc/machine-id")).unwrap_or_default();
        let machine = machine.trim();
        let mut attributes = vec![
            text("service.name", "shedder"),
            text("service.version", version),
            text("service.instance.id", if machine.is_empty() { &host } else { machine }),
            text("host.name", &host),
        ];
        if !machine.is_empty() {
            attributes.push(text("host.id", machine));
        }
        let scope = InstrumentationScope {
            name: "shedder".to_owned(),
            version: version.to_owned(),
            ..InstrumentationScope::default()
        };
        Self { resource: Resource { attributes, ..Resource::default() }, scope }
    }

    pub(super) fn spans(&self, spans: &[Span]) -> Vec<u8> {
        let scope_spans = vec![ScopeSpans {
            scope: Some(self.scope.clone()),
            spans: spans.to_vec(),
            schema_url: String::new(),
        }];
        let resource = Some(self.resource.clone());
        let schema_url = String::new();
        let resource_spans = vec![ResourceSpans { resource, scope_spans, schema_url }];
        ExportTraceServiceRequest { resource_spans }.encode_to_vec()
    }

    pub(super) fn metrics(&self, metrics: Vec<Metric>) -> Vec<u8> {
        let scope_metrics = vec![ScopeMetrics {
            scope: Some(self.scope.clone()),
            metrics,
            schema_url: String::new(),
        }];
        let resource = Some(self.resource.clone());
        let schema_url = String::new();
        let resource_metrics = vec![ResourceMetrics { resource, scope_metrics, schema_url }];
        ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
    }
}

/// How many spans are refused by an answer that takes the others; an answer that makes no sense refuses none.
pub(super) fn refused_spans(answer: &[u8]) -> u64 {
    let answer = ExportTraceServiceResponse::decode(answer).unwrap_or_default();
    let refused = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
    u64::try_from(refused).unwrap_or_default()
}

/// As [`refused_spans`], of data points.
pub(super) fn refused_points(answer: &[u8]) -> u64 {
    let answer = ExportMetricsServiceResponse::decode(answer).unwrap_or_default();
    let refused = answer.partial_success.map_or(0, |partial| partial.rejected_data_points);
    u64::try_from(refused).unwrap_or_default()
}
