//! What a token endpoint answers (RFC 6749, 5.1), and for how long that counts.

use std::time::{Duration, Instant};

use http::HeaderValue;
use serde_json::Value;

use crate::json::{self, Bounds};

/// A token, as a server gets it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// The value of `Authorization`.
    pub(super) header: HeaderValue,
    /// From then on another one is asked for.
    pub(super) renews: Instant,
    /// From then on it is not shown any more.
    pub(super) ends: Instant,
}

/// How long one counts if its endpoint does not say.
const UNSAID: Duration = Duration::from_mins(5);
/// No longer, whatever it says.
const LONGEST: Duration = Duration::from_hours(24);
/// It is renewed so long before its end, or a quarter of its life.
const AHEAD: Duration = Duration::from_mins(1);
/// It is not shown any more so long before its end, or a tenth of its life: a call takes time, and clocks differ.
const SPARE: Duration = Duration::from_secs(10);

impl Token {
    /// Reads an answer to what was asked at that moment.
    ///
    /// # Errors
    /// It has no token that a server could take. Says what is wrong, and quotes nothing.
    pub(super) fn read(answer: &[u8], asked: Instant) -> Result<Self, &'static str> {
        let answer = json::value(answer, &Bounds::default()).map_err(|_may_quote| "its answer is no JSON")?;
        let kind = answer.get("token_type").and_then(Value::as_str).unwrap_or_default();
        if !kind.eq_ignore_ascii_case("bearer") {
            return Err("its token is none that goes after `Bearer` (token_type)");
        }
        let token = answer.get("access_token").and_then(Value::as_str).filter(|token| !token.is_empty());
        let header = bearer(token.ok_or("its answer has no access_token")?);
        let header = header.ok_or("its token has a character that no header can have")?;
        let life = answer.get("expires_in").map_or(Some(UNSAID), seconds).ok_or("its expires_in is no number")?;
        let life = life.min(LONGEST);
        if life.is_zero() {
            return Err("its token has ended already (expires_in)");
        }
        let (renews, ends) = (life.saturating_sub(AHEAD.min(life / 4)), life.saturating_sub(SPARE.min(life / 10)));
        Ok(Self { header, renews: asked + renews, ends: asked + ends })
    }

    /// The same, but not beyond this moment.
    pub(super) fn until(self, end: Instant) -> Self {
        Self { renews: self.renews.min(end), ends: self.ends.min(end), ..self }
    }
}

/// The value of `Authorization` for this token; nothing shows it.
pub(super) fn bearer(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Seconds; some write them as a text.
fn seconds(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    seconds.map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn a_token_counts_for_less_than_its_endpoint_says() {
        let now = clock::monotonic();
        let life = |said: &str| {
            let answer = format!(r#"{{"access_token":"t","token_type":"bearer"{said}}}"#);
            let token = Token::read(answer.as_bytes(), now).unwrap();
            assert_eq!(token.header, "Bearer t");
            assert!(token.header.is_sensitive());
            ((token.renews - now).as_millis(), (token.ends - now).as_millis())
        };
        assert_eq!(life(r#","expires_in":3600"#), (3_540_000, 3_590_000));
        assert_eq!(life(r#","expires_in":"3600""#), (3_540_000, 3_590_000));
        assert_eq!(life(r#","expires_in":2"#), (1500, 1800));
        assert_eq!(life(""), (240_000, 290_000));
        assert_eq!(life(r#","expires_in":99999999999"#), (86_340_000, 86_390_000));
    }

    #[test]
    fn what_is_no_token_is_none_and_is_not_quoted() {
        for (answer, wrong) in [
            ("", "no JSON"),
            ("<html>s3cret</html>", "no JSON"),
            (r#"{"access_token":"a","access_token":"b","token_type":"Bearer"}"#, "no JSON"),
            (r#"{"access_token":"s3cret"}"#, "token_type"),
            (r#"{"access_token":"s3cret","token_type":"N_A"}"#, "token_type"),
            (r#"{"access_token":"s3cret","token_type":"DPoP"}"#, "token_type"),
            (r#"{"token_type":"Bearer"}"#, "no access_token"),
            (r#"{"access_token":"","token_type":"Bearer"}"#, "no access_token"),
            (r#"{"access_token":7,"token_type":"Bearer"}"#, "no access_token"),
            (r#"{"access_token":"s3cret\r\nx-admin: 1","token_type":"Bearer"}"#, "no header"),
            (r#"{"access_token":"s3cret","token_type":"Bearer","expires_in":0}"#, "ended already"),
            (r#"{"access_token":"s3cret","token_type":"Bearer","expires_in":-1}"#, "no number"),
            (r#"{"access_token":"s3cret","token_type":"Bearer","expires_in":null}"#, "no number"),
        ] {
            let said = Token::read(answer.as_bytes(), clock::monotonic()).unwrap_err();
            assert!(said.contains(wrong) && !said.contains("s3cret"), "{answer}: {said}");
        }
    }
}
