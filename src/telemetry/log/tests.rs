//! Lines as people and programs get them.

use std::sync::{Mutex, PoisonError};

use opentelemetry::trace::TraceId;

use super::*;
use crate::exchange::DecisionId;

/// Standard error, as far as a test is concerned.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is written while this is done.
fn logged(shape: Shape, work: impl FnOnce()) -> String {
    let sink = Sink::default();
    let (log, subscriber) = logging(&TelemetrySettings::quiet(), shape, Box::new(sink.clone()), None).unwrap();
    tracing::subscriber::with_default(subscriber, work);
    drop(log);
    String::from_utf8(sink.0.lock().unwrap().clone()).unwrap()
}

#[test]
fn every_line_of_a_request_names_it() {
    let (decision, trace) = (DecisionId::random(), TraceId::from_hex("0af7651916cd43dd8448eb211c80319c").unwrap());
    let scope = RequestScope::of(decision);
    let work = || {
        tracing::info!("nobody's");
        scope.within(|| tracing::warn!(tool = "search", "not read yet"));
        scope.traced(trace);
        scope.within(|| tracing::warn!("read"));
    };
    let json: Vec<serde_json::Value> =
        logged(Shape::Json, work).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(json.len(), 3);
    assert_eq!((&json[0]["decision"], &json[0]["message"]), (&serde_json::Value::Null, &"nobody's".into()));
    assert_eq!((&json[1]["decision"], &json[1]["tool"]), (&decision.to_string().into(), &"search".into()));
    assert_eq!(json[1]["trace_id"], serde_json::Value::Null);
    assert_eq!((&json[2]["decision"], &json[2]["level"]), (&decision.to_string().into(), &"WARN".into()));
    assert_eq!(json[2]["trace_id"], "0af7651916cd43dd8448eb211c80319c");

    let text = logged(Shape::Text, || scope.within(|| tracing::warn!("read")));
    let end = format!("read decision={decision} trace_id=0af7651916cd43dd8448eb211c80319c\n");
    assert!(text.ends_with(&end), "{text}");
}

#[test]
fn no_line_plays_tricks() {
    let tricks = "a\u{1b}[2Jb\rc\u{9b}d\u{202e}e\u{7f}f\u{e0041}g";
    for shape in [Shape::Json, Shape::Text] {
        let text = logged(shape, || tracing::warn!(name = tricks, "{tricks}"));
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.trim_end().chars().any(crate::diagnostic::is_invisible), "{text:?}");
        if shape == Shape::Json {
            let line: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(line["name"], tricks, "an escape is the character for whoever reads JSON");
        }
    }
    let text = logged(Shape::Text, || tracing::error!("one\n  two"));
    assert!(text.ends_with("one\n  two\n"), "people read what goes on below: {text}");
}

/// Somebody who does not read.
struct Stuck(std::sync::mpsc::Receiver<()>);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Until the test is over.
        let _over = self.0.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn nobody_waits_for_a_reader_that_is_stuck() {
    let (over, stuck) = std::sync::mpsc::channel();
    let (log, subscriber) = logging(&TelemetrySettings::quiet(), Shape::Json, Box::new(Stuck(stuck)), None).unwrap();
    let dropped = log.dropped().clone();
    tracing::subscriber::with_default(subscriber, || {
        for number in 0..20_000 {
            tracing::warn!(number, "a line");
        }
    });
    assert!(dropped.value() > 0, "what found no room is counted");
    drop(over);
}
