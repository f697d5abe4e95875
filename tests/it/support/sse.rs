//! Event streams as a client reads them (WHATWG HTML, 9.2.6), once they are whole. Written apart from the gate's own
//! reader, so that the two can disagree.

/// One event that a client would hear.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// The `event` field; empty for the default, `message`.
    pub(crate) kind: String,
    pub(crate) data: String,
}

/// Every event that has data and was ended.
pub(crate) fn events(stream: &str) -> Vec<Event> {
    let stream = stream.replace("\r\n", "\n").replace('\r', "\n");
    let mut heard = Vec::new();
    let mut event = Event::default();
    let mut data: Vec<&str> = Vec::new();
    // What comes behind the last line end is no line.
    let lines = stream.rsplit_once('\n').map(|(lines, _)| lines.split('\n'));
    for line in lines.into_iter().flatten() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" if line.is_empty() => {
                event.data = std::mem::take(&mut data).join("\n");
                let ended = std::mem::take(&mut event);
                heard.extend(Some(ended).filter(|event| !event.data.is_empty()));
            }
            "event" => value.clone_into(&mut event.kind),
            "data" => data.push(value),
            _ => {}
        }
    }
    heard
}

#[test]
fn reads_events_as_the_standard_says() {
    let event = |kind: &str, data: &str| Event { kind: kind.to_owned(), data: data.to_owned() };
    assert_eq!(
        events("data: a\n\ndata:b\r\rdata:  c\r\ndata\r\n\r\n"),
        [event("", "a"), event("", "b"), event("", " c\n")]
    );
    assert_eq!(events(": note\n\nevent: x\nid: 1\ndata: a\n\n"), [event("x", "a")]);
    assert_eq!(events("data: unfinished\n"), []);
}
