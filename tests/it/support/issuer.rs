//! An identity provider of our own: it signs tokens, publishes keys over a real socket, and counts who asks.
//!
//! It stands on nothing else in here: unit tests and benches use it, too.

#![expect(clippy::disallowed_methods, reason = "a server of its own, in the time of the system")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A key that signs tokens, and its name.
#[derive(Debug)]
pub(crate) struct Signer {
    pub(crate) kid: String,
    key: Key,
}

#[derive(Debug)]
enum Key {
    Es256(EcdsaKeyPair),
    Rs256(RsaKeyPair),
}

/// An identity provider. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Issuer {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    serving: JoinHandle<()>,
}

/// What an issuer does when it is asked for its keys.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// It answers with this.
    Json(Value),
    /// It answers with these bytes.
    Bytes(Vec<u8>),
    /// It sends whoever asks elsewhere.
    Redirect(String),
    /// It does not answer.
    Down,
}

#[derive(Debug)]
struct Seen {
    keys: Answer,
    asked: usize,
    /// What it says of every token, and how it was asked.
    says: Answer,
    heard: Vec<String>,
}

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Seconds since 1970, and so many more.
pub(crate) fn seconds(later: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is right").as_secs();
    i64::try_from(now).expect("it is not that late") + later
}

impl Signer {
    pub(crate) fn es256(kid: &str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key can be made");
        Self { kid: kid.to_owned(), key: Key::Es256(key) }
    }

    pub(crate) fn rs256(kid: &str) -> Self {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key can be made");
        Self { kid: kid.to_owned(), key: Key::Rs256(key) }
    }

    pub(crate) fn algorithm(&self) -> &'static str {
        match self.key {
            Key::Es256(_) => "ES256",
            Key::Rs256(_) => "RS256",
        }
    }

    /// The public half, as issuers publish it.
    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = match &self.key {
            Key::Es256(key) => {
                let point = key.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "x": base64url(&point[1..33]), "y": base64url(&point[33..]) })
            }
            Key::Rs256(key) => {
                let key = key.public_key();
                let modulus = key.modulus().big_endian_without_leading_zero().to_owned();
                let exponent = key.exponent().big_endian_without_leading_zero().to_owned();
                json!({ "kty": "RSA", "n": base64url(modulus), "e": base64url(exponent) })
            }
        };
        jwk["kid"] = self.kid.as_str().into();
        jwk["use"] = "sig".into();
        jwk["alg"] = self.algorithm().into();
        jwk
    }

    /// A token with these claims and the usual header.
    pub(crate) fn token(&self, claims: &Value) -> String {
        let header = json!({ "alg": self.algorithm(), "typ": "at+jwt", "kid": self.kid });
        self.sign(&header.to_string(), &claims.to_string())
    }

    /// A token of these texts.
    pub(crate) fn sign(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", base64url(header), base64url(claims));
        let signature = self.signature(signed.as_bytes());
        format!("{signed}.{}", base64url(signature))
    }

    pub(crate) fn signature(&self, signed: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Key::Es256(key) => key.sign(&random, signed).expect("it signs").as_ref().to_owned(),
            Key::Rs256(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, signed, &mut signature).expect("it signs");
                signature
            }
        }
    }
}

/// What an issuer with these keys publishes.
pub(crate) fn published(signers: &[&Signer]) -> Answer {
    Answer::Json(json!({ "keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>() }))
}

impl Issuer {
    pub(crate) async fn start(keys: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let seen = Seen { keys, asked: 0, says: Answer::Down, heard: Vec::new() };
        let seen = Arc::new(Mutex::new(seen));
        let shared = Arc::clone(&seen);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, address, Arc::clone(&shared)));
            }
        });
        Self { address, seen, serving }
    }

    /// What stands in `iss` of tokens.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on it answers so.
    pub(crate) fn answer(&self, keys: Answer) {
        self.seen.lock().expect("nobody panics").keys = keys;
    }

    /// From now on it says this of every token (RFC 7662).
    pub(crate) fn say(&self, of_a_token: Answer) {
        self.seen.lock().expect("nobody panics").says = of_a_token;
    }

    /// The requests about tokens that it has had.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.seen.lock().expect("nobody panics").heard.clone()
    }

    /// How often it was asked for its keys.
    pub(crate) fn asked(&self) -> usize {
        self.seen.lock().expect("nobody panics").asked
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Answers one request.
async fn serve(mut stream: TcpStream, address: SocketAddr, seen: Arc<Mutex<Seen>>) {
    let mut request = Vec::new();
    let mut part = [0; 4096];
    while !is_whole(&String::from_utf8_lossy(&request)) {
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return,
            Ok(length) => request.extend_from_slice(&part[..length]),
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let answer = {
        let mut seen = seen.lock().expect("nobody panics");
        match request.split(' ').nth(1).unwrap_or_default() {
            "/.well-known/openid-configuration" => {
                let url = format!("http://{address}");
                Answer::Json(json!({ "issuer": url, "jwks_uri": format!("{url}/jwks") }))
            }
            "/introspect" => {
                seen.heard.push(request.clone());
                seen.says.clone()
            }
            "/jwks" => {
                seen.asked += 1;
                seen.keys.clone()
            }
            _ => Answer::Down,
        }
    };
    let response = match answer {
        Answer::Down => return,
        Answer::Json(value) => whole(value.to_string().as_bytes()),
        Answer::Bytes(bytes) => whole(&bytes),
        Answer::Redirect(to) => {
            format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n").into_bytes()
        }
    };
    // An error means that whoever asked has gone.
    drop(stream.write_all(&response).await);
}

fn is_whole(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.to_ascii_lowercase();
    let length = length.split("\r\ncontent-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

fn whole(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}
