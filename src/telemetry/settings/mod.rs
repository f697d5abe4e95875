//! What the environment says about telemetry. Read once, here and nowhere else; a bad value is told, never guessed.
//!
//! The names are OpenTelemetry's own. The SDK reads a few more by itself: `OTEL_EXPORTER_OTLP_HEADERS`, `_TIMEOUT` and
//! `_INSECURE`, the `OTEL_BSP_*` queue sizes and the `OTEL_SPAN_*` limits.

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tracing_subscriber::EnvFilter;

use super::content::Content;

/// What telemetry does.
#[derive(Clone, Debug, PartialEq)]
pub struct TelemetrySettings {
    /// Where spans go.
    pub traces: Exporter,
    /// Where metrics are pushed to. They can always be read at `/metrics` as well.
    pub metrics: Exporter,
    /// Where process logs go, beside standard error.
    pub logs: Exporter,
    /// Where the audit log is copied to, if the file says that it is.
    pub records: Exporter,
    /// Which traces are kept.
    pub sampler: Sampling,
    /// Whether arguments and results stand on spans.
    pub content: Content,
    /// How often metrics are pushed.
    pub interval: Duration,
    /// `service.name`.
    pub service: String,
    /// Further attributes of the resource.
    pub resource: Vec<(String, String)>,
    /// Which process logs are written: `info`, or directives as `tracing_subscriber` has them.
    pub log: String,
}

/// Where a signal goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exporter {
    /// To a collector.
    Otlp {
        /// How it speaks.
        protocol: Protocol,
        /// Its URL, with the path of the signal.
        endpoint: String,
    },
    /// Into the process log, one line each.
    Console,
    /// Nowhere.
    None,
}

/// How a collector speaks. `http/protobuf` is the default, as OpenTelemetry's specification has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP/gRPC, usually on port 4317.
    Grpc,
    /// OTLP/HTTP with protobuf bodies, usually on port 4318.
    HttpProtobuf,
}

/// Which traces are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sampling {
    /// The same for every trace.
    Root(Choice),
    /// As the caller's trace says, and where there is none, so.
    ParentBased(Choice),
}

/// Which of the traces that begin here are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Choice {
    /// All.
    On,
    /// None.
    Off,
    /// This part of them, from 0 to 1.
    Ratio(f64),
}

/// Everything that is wrong with the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSettings(pub Vec<String>);

const SAMPLERS: &str = "always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off \
                        or parentbased_traceidratio";

/// What may be wrong, collected, so that all of it is told at once.
struct Reader<L> {
    lookup: L,
    problems: Vec<String>,
}

/// One of the signals: how its variables and paths are named.
struct Signal {
    exporter: &'static str,
    endpoint: &'static str,
    protocol: &'static str,
    path: &'static str,
}

const TRACES: Signal = Signal {
    exporter: "OTEL_TRACES_EXPORTER",
    endpoint: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    protocol: "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    path: "v1/traces",
};
const METRICS: Signal = Signal {
    exporter: "OTEL_METRICS_EXPORTER",
    endpoint: "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    protocol: "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
    path: "v1/metrics",
};
const LOGS: Signal = Signal {
    exporter: "OTEL_LOGS_EXPORTER",
    endpoint: "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
    protocol: "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL",
    path: "v1/logs",
};
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";

impl TelemetrySettings {
    /// Reads the process's environment.
    pub fn from_env() -> Result<Self, BadSettings> {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the variables of telemetry")]
        let lookup = |name: &str| match std::env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => Err(format!("{name}: not UTF-8")),
        };
        Self::read(lookup)
    }

    /// Reads from anywhere.
    fn read(lookup: impl Fn(&str) -> Result<Option<String>, String>) -> Result<Self, BadSettings> {
        let mut reader = Reader { lookup, problems: Vec::new() };
        let disabled = reader.flag("OTEL_SDK_DISABLED");
        let mut traces = reader.exporter(&TRACES, &Exporter::Console);
        let mut metrics = reader.exporter(&METRICS, &Exporter::None);
        let mut records = reader.exporter(&LOGS, &Exporter::None);
        let mut logs = reader.logs(&records);
        if disabled {
            (traces, metrics, logs, records) = (Exporter::None, Exporter::None, Exporter::None, Exporter::None);
        }
        let settings = Self {
            traces,
            metrics,
            logs,
            records,
            sampler: reader.sampler(),
            content: reader.content(),
            interval: reader.interval(),
            resource: reader.resource(),
            service: reader.text("OTEL_SERVICE_NAME").unwrap_or_else(|| "tollgate".to_owned()),
            log: reader.log(),
        };
        if reader.problems.is_empty() { Ok(settings) } else { Err(BadSettings(reader.problems)) }
    }

    /// Telemetry that leaves the process only at `/metrics` and on standard output.
    pub fn quiet() -> Self {
        Self {
            traces: Exporter::None,
            metrics: Exporter::None,
            logs: Exporter::None,
            records: Exporter::None,
            sampler: Sampling::ParentBased(Choice::On),
            content: Content::Hidden,
            interval: INTERVAL,
            service: "tollgate".to_owned(),
            resource: Vec::new(),
            log: "info".to_owned(),
        }
    }
}

const INTERVAL: Duration = Duration::from_mins(1);

impl<L: Fn(&str) -> Result<Option<String>, String>> Reader<L> {
    /// A variable's value. Empty is as good as unset (OpenTelemetry, Environment Variable Specification).
    fn text(&mut self, name: &str) -> Option<String> {
        match (self.lookup)(name) {
            Ok(value) => value.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()),
            Err(problem) => {
                self.problems.push(problem);
                None
            }
        }
    }

    fn bad(&mut self, name: &str, value: &str, valid: &str) {
        let problem = format!("{name}: `{}` is not {valid}", value.escape_debug());
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    fn flag(&mut self, name: &str) -> bool {
        match self.text(name) {
            None => false,
            Some(value) if value.eq_ignore_ascii_case("true") => true,
            Some(value) if value.eq_ignore_ascii_case("false") => false,
            Some(value) => {
                self.bad(name, &value, "true or false");
                false
            }
        }
    }

    fn exporter(&mut self, signal: &Signal, without_endpoint: &Exporter) -> Exporter {
        let protocol = self.protocol(signal);
        let endpoint = self.endpoint(signal, protocol);
        let otlp = |endpoint| Exporter::Otlp { protocol, endpoint };
        match self.text(signal.exporter).as_deref() {
            None => endpoint.map_or_else(|| without_endpoint.clone(), otlp),
            Some("otlp") => otlp(endpoint.unwrap_or_else(|| match protocol {
                Protocol::Grpc => "http://localhost:4317".to_owned(),
                Protocol::HttpProtobuf => format!("http://localhost:4318/{}", signal.path),
            })),
            Some("console") => Exporter::Console,
            // Metrics can always be read at /metrics, so that name asks for nothing more.
            Some("none" | "prometheus") => Exporter::None,
            Some(other) => {
                self.bad(signal.exporter, other, "otlp, console or none");
                Exporter::None
            }
        }
    }

    /// Logs are on standard error already: only who asks for them in particular gets them a second time.
    fn logs(&mut self, there: &Exporter) -> Exporter {
        let asked = [LOGS.exporter, LOGS.endpoint].map(|name| self.text(name)).iter().any(Option::is_some);
        match there {
            Exporter::Otlp { .. } if asked => there.clone(),
            Exporter::Otlp { .. } | Exporter::Console | Exporter::None => Exporter::None,
        }
    }

    fn protocol(&mut self, signal: &Signal) -> Protocol {
        let own = self.text(signal.protocol).map(|value| (signal.protocol, value));
        let Some((name, value)) = own.or_else(|| self.text(PROTOCOL).map(|value| (PROTOCOL, value))) else {
            return Protocol::HttpProtobuf;
        };
        match value.as_str() {
            "grpc" => Protocol::Grpc,
            "http/protobuf" => Protocol::HttpProtobuf,
            other => {
                self.bad(name, other, "grpc or http/protobuf");
                Protocol::HttpProtobuf
            }
        }
    }

    /// The signal's own endpoint as it stands, or the common one with the signal's path.
    fn endpoint(&mut self, signal: &Signal, protocol: Protocol) -> Option<String> {
        if let Some(own) = self.text(signal.endpoint) {
            return self.url(signal.endpoint, own);
        }
        let common = self.text(ENDPOINT)?;
        let url = self.url(ENDPOINT, common)?;
        Some(match protocol {
            Protocol::Grpc => url,
            Protocol::HttpProtobuf => format!("{}/{}", url.trim_end_matches('/'), signal.path),
        })
    }

    fn url(&mut self, name: &str, value: String) -> Option<String> {
        let sound = value.parse::<http::Uri>().is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
        });
        if sound {
            return Some(value);
        }
        self.bad(name, &value, "a URL like http://localhost:4318");
        None
    }

    fn sampler(&mut self) -> Sampling {
        let ratio = self.text("OTEL_TRACES_SAMPLER_ARG");
        let Some(name) = self.text("OTEL_TRACES_SAMPLER") else {
            return Sampling::ParentBased(Choice::On);
        };
        match name.as_str() {
            "always_on" => Sampling::Root(Choice::On),
            "always_off" => Sampling::Root(Choice::Off),
            "traceidratio" => Sampling::Root(self.ratio(ratio)),
            "parentbased_always_on" => Sampling::ParentBased(Choice::On),
            "parentbased_always_off" => Sampling::ParentBased(Choice::Off),
            "parentbased_traceidratio" => Sampling::ParentBased(self.ratio(ratio)),
            other => {
                self.bad("OTEL_TRACES_SAMPLER", other, SAMPLERS);
                Sampling::Root(Choice::Off)
            }
        }
    }

    fn ratio(&mut self, value: Option<String>) -> Choice {
        let Some(value) = value else {
            return Choice::Ratio(1.0);
        };
        match value.parse::<f64>() {
            Ok(ratio) if (0.0..=1.0).contains(&ratio) => Choice::Ratio(ratio),
            _ => {
                self.bad("OTEL_TRACES_SAMPLER_ARG", &value, "a number from 0 to 1");
                Choice::Off
            }
        }
    }

    /// The conventions' own switch (semantic-conventions-genai, Recording content on attributes).
    fn content(&mut self) -> Content {
        const NAME: &str = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT";
        match self.text(NAME).map(|value| value.to_ascii_lowercase()).as_deref() {
            None | Some("false" | "no_content") => Content::Hidden,
            Some("true" | "span_only") => Content::OnSpans,
            Some(other) => {
                self.bad(NAME, other, "true, false, SPAN_ONLY or NO_CONTENT");
                Content::Hidden
            }
        }
    }

    fn interval(&mut self) -> Duration {
        let Some(value) = self.text("OTEL_METRIC_EXPORT_INTERVAL") else {
            return INTERVAL;
        };
        match value.parse::<u64>() {
            Ok(millis) if millis > 0 => Duration::from_millis(millis),
            _ => {
                self.bad("OTEL_METRIC_EXPORT_INTERVAL", &value, "a number of milliseconds above 0");
                INTERVAL
            }
        }
    }

    /// `key=value,key=value`, percent-encoded as a W3C Baggage is.
    fn resource(&mut self) -> Vec<(String, String)> {
        const NAME: &str = "OTEL_RESOURCE_ATTRIBUTES";
        let mut attributes = Vec::new();
        for entry in self.text(NAME).unwrap_or_default().split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let pair = entry.split_once('=').and_then(|(key, value)| {
                let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
                Some((key.trim().to_owned(), value.into_owned()))
            });
            match pair {
                Some((key, value)) if !key.is_empty() => attributes.push((key, value)),
                _ => self.bad(NAME, entry, "key=value, with values percent-encoded"),
            }
        }
        attributes
    }

    fn log(&mut self) -> String {
        let own = self.text("TOLLGATE_LOG").map(|value| ("TOLLGATE_LOG", value));
        let Some((name, value)) = own.or_else(|| self.text("RUST_LOG").map(|value| ("RUST_LOG", value))) else {
            return "info".to_owned();
        };
        if EnvFilter::builder().parse(&value).is_err() {
            self.bad(name, &value, "a filter like `info` or `warn,tollgate=debug`");
        }
        value
    }
}

impl fmt::Display for BadSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for BadSettings {}
