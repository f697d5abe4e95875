//! Tables of variables: what they mean, and which are refused.

use super::*;

fn read(variables: &[(&str, &str)]) -> Result<TelemetrySettings, BadSettings> {
    TelemetrySettings::read(|name| {
        Ok(variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    })
}

/// An exporter in a word or two.
fn told(exporter: &Exporter) -> String {
    match exporter {
        Exporter::Otlp { protocol, endpoint } => format!("{protocol:?} {endpoint}"),
        Exporter::Console => "console".to_owned(),
        Exporter::None => "none".to_owned(),
    }
}

#[test]
fn without_variables_spans_go_to_the_console() {
    let settings = read(&[]).unwrap();
    assert_eq!(settings, TelemetrySettings { traces: Exporter::Console, ..TelemetrySettings::quiet() });
}

#[test]
fn exporters_follow_endpoint_protocol_and_name() {
    // Variables, without what all names of theirs begin with; where traces go; where metrics go.
    let table = "
        ENDPOINT=                                        | console                              | none
        ENDPOINT=http://c:4318                           | HttpProtobuf http://c:4318/v1/traces | HttpProtobuf http://c:4318/v1/metrics
        ENDPOINT=http://c/x/                             | HttpProtobuf http://c/x/v1/traces    | HttpProtobuf http://c/x/v1/metrics
        ENDPOINT=https://c:4317 PROTOCOL=grpc            | Grpc https://c:4317                  | Grpc https://c:4317
        TRACES_ENDPOINT=http://c/t                       | HttpProtobuf http://c/t              | none
        METRICS_ENDPOINT=http://c/m                      | console                              | HttpProtobuf http://c/m
        ENDPOINT=http://c:1 METRICS_PROTOCOL=grpc        | HttpProtobuf http://c:1/v1/traces    | Grpc http://c:1
        ENDPOINT=http://c OTEL_TRACES_EXPORTER=none      | none                                 | HttpProtobuf http://c/v1/metrics
        ENDPOINT=http://c OTEL_METRICS_EXPORTER=console  | HttpProtobuf http://c/v1/traces      | console
        OTEL_TRACES_EXPORTER=otlp                        | HttpProtobuf http://localhost:4318/v1/traces | none
        OTEL_TRACES_EXPORTER=otlp PROTOCOL=grpc          | Grpc http://localhost:4317           | none
        OTEL_METRICS_EXPORTER=prometheus                 | console                              | none
        ENDPOINT=http://c OTEL_SDK_DISABLED=TRUE         | none                                 | none
    ";
    for case in table.lines().filter(|case| case.contains('|')) {
        let mut columns = case.split('|').map(str::trim);
        let variables: Vec<_> = columns
            .next()
            .unwrap()
            .split(' ')
            .map(|pair| pair.split_once('=').unwrap())
            .map(|(name, value)| {
                if name.starts_with("OTEL") {
                    (name.to_owned(), value)
                } else {
                    (format!("OTEL_EXPORTER_OTLP_{name}"), value)
                }
            })
            .collect();
        let borrowed: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let settings = read(&borrowed).unwrap();
        assert_eq!(Some(&*told(&settings.traces)), columns.next(), "{case}");
        assert_eq!(Some(&*told(&settings.metrics)), columns.next(), "{case}");
    }
}

#[test]
fn samplers_have_their_usual_names() {
    let cases: &[(&str, &str, Sampling)] = &[
        ("always_on", "", Sampling::Root(Choice::On)),
        ("always_off", "0.5", Sampling::Root(Choice::Off)),
        ("traceidratio", "0.25", Sampling::Root(Choice::Ratio(0.25))),
        ("parentbased_traceidratio", "", Sampling::ParentBased(Choice::Ratio(1.0))),
        ("parentbased_always_off", "", Sampling::ParentBased(Choice::Off)),
    ];
    for (name, argument, sampler) in cases {
        let read = read(&[("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", argument)]).unwrap();
        assert_eq!(read.sampler, *sampler, "{name}");
    }
}

#[test]
fn the_rest_is_read() {
    let settings = read(&[
        ("OTEL_SERVICE_NAME", "gate-7"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=dev, team=a%2Cb"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1500"),
        ("TOLLGATE_LOG", "warn"),
        ("RUST_LOG", "trace"),
    ])
    .unwrap();
    assert_eq!(settings.service, "gate-7");
    assert_eq!(settings.interval, Duration::from_millis(1500));
    assert_eq!(settings.log, "warn");
    let resource: Vec<_> = settings.resource.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(resource, [("deployment.environment.name", "dev"), ("team", "a,b")]);
}

#[test]
fn every_bad_value_is_told_with_what_is_valid() {
    let bad = [
        ("OTEL_SDK_DISABLED", "yes", "true or false"),
        (TRACES.exporter, "zipkin", "otlp, console or none"),
        (METRICS.exporter, "otlp,console", "otlp, console or none"),
        (PROTOCOL, "http/json", "grpc or http/protobuf"),
        (TRACES.endpoint, "localhost:4318", "a URL like"),
        (METRICS.endpoint, "ftp://x", "a URL like"),
        ("OTEL_TRACES_SAMPLER", "sometimes", "parentbased_always_on"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0", "milliseconds"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team", "key=value"),
        ("TOLLGATE_LOG", "tollgate=shout", "a filter"),
    ];
    for (name, value, valid) in bad {
        let problem = read(&[(name, value)]).unwrap_err().to_string();
        assert!(problem.contains(name) && problem.contains(value) && problem.contains(valid), "{problem}");
    }
    let ratio = [("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "1.5")];
    assert!(read(&ratio).unwrap_err().to_string().contains("from 0 to 1"));
    let all: Vec<_> = bad.iter().map(|(name, value, _)| (*name, *value)).collect();
    assert_eq!(read(&all).unwrap_err().0.len(), bad.len());
}
