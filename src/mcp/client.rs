//! What a client says of itself, and what is asked in its name that it has not asked in these words.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::read::{CLIENT_CAPABILITIES, CLIENT_PROTOCOL_VERSION, read};
use super::{Call, CallError, Question, Questions};
use crate::json::{self, Bounds};

/// What a client of 2026-07-28 says of itself in each request. Earlier ones say nothing in most of theirs.
#[derive(Clone, Debug, Default)]
pub struct Client(Map<String, Value>);

const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";

impl Client {
    /// What the client of this says of itself there.
    pub fn of(call: &Call) -> Self {
        let meta = call.spot.meta.clone().and_then(|span| call.body.get(span));
        // The call was read, so this reads it, too.
        let meta = meta.and_then(|meta| json::value(meta, &Bounds::default()).ok());
        let said = [CLIENT_PROTOCOL_VERSION, CLIENT_CAPABILITIES, CLIENT_INFO].into_iter().filter_map(|member| {
            let said = meta.as_ref()?.get(member)?;
            Some((member.to_owned(), said.clone()))
        });
        Self(said.collect())
    }

    /// All that it offers, as far as it may be asked that: the same text for the same offers.
    pub fn offers(&self, may: Questions) -> String {
        let mut offers = self.0.get(CLIENT_CAPABILITIES).cloned().unwrap_or_default();
        if let Some(offers) = offers.as_object_mut() {
            Question::ALL.into_iter().filter(|question| !may.has(*question)).for_each(|question| {
                offers.remove(question.name());
            });
        }
        offers.to_string()
    }

    /// A request in its name.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn asking(&self, id: &str, method: &str, mut params: Value) -> Result<Call, CallError> {
        if !self.0.is_empty()
            && let Some(params) = params.as_object_mut()
        {
            params.insert("_meta".to_owned(), Value::Object(self.0.clone()));
        }
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        read(&Bytes::from(message.to_string()), &Bounds::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_in_a_clients_name_says_of_it_what_it_said_and_nothing_of_the_request() {
        let body = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a","_meta":{"progressToken":1,"traceparent":"x","io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"c"},"io.modelcontextprotocol/clientCapabilities":{"sampling":{},"roots":{},"x":1}}}}"#;
        let call = read(&Bytes::from(body), &Bounds::default()).unwrap();
        let client = Client::of(&call);
        let asked = client.asking("gate 1", "tools/list", json!({ "cursor": "c" })).unwrap();
        let said = json::value(asked.body(), &Bounds::default()).unwrap();
        let meta = json!({
            CLIENT_PROTOCOL_VERSION: "2026-07-28",
            CLIENT_INFO: { "name": "c" },
            CLIENT_CAPABILITIES: { "sampling": {}, "roots": {}, "x": 1 },
        });
        assert_eq!((&said["params"], &said["id"]), (&json!({ "cursor": "c", "_meta": meta }), &json!("gate 1")));
        assert_eq!(client.offers(Question::Roots.into()), r#"{"roots":{},"x":1}"#);
        assert_eq!(client.offers(Questions::default()), r#"{"x":1}"#);
    }
}
