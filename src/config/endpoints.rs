//! `servers.NAME.url` and `.sse`: where a server is, in one place or in several.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use http::Uri;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use super::given::Place;
use super::server::read_url;
use super::source::ServerSource;
use crate::diagnostic::{At, Code, Diagnostics, SourceFile, Spanned, quoted};
use crate::upstream::{Balance, Endpoints};

/// One URL or several.
#[derive(Debug)]
pub(super) enum UrlsSource {
    One(String),
    Several(Vec<Spanned<String>>),
}

/// Which of several URLs gets the next call.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum BalanceSource {
    /// The one with the fewest calls under way.
    #[default]
    LeastRequests,
    /// One after the other.
    RoundRobin,
}

impl From<BalanceSource> for Balance {
    fn from(source: BalanceSource) -> Self {
        match source {
            BalanceSource::LeastRequests => Self::LeastRequests,
            BalanceSource::RoundRobin => Self::RoundRobin,
        }
    }
}

/// Where this server is; `name` stands there.
pub(super) fn read(file: &SourceFile, name: At, server: &ServerSource, found: &mut Diagnostics) -> Option<Endpoints> {
    if server.url.is_none() && server.sse.is_none() {
        found.push(file.error(Code::MissingServer, name, "nothing says where this server is").help(
            "give its `url`, such as `http://127.0.0.1:8000/mcp`; or `sse`, if it speaks HTTP+SSE of 2024-11-05",
        ));
        return None;
    }
    // Both are looked at, so that all problems are told.
    let [streamable, sse] =
        [&server.url, &server.sse].map(|urls| urls.as_ref().map_or(Some(Vec::new()), |urls| all(file, urls, found)));
    Endpoints::new(streamable?, sse?)
}

fn all(file: &SourceFile, urls: &Spanned<UrlsSource>, found: &mut Diagnostics) -> Option<Vec<Uri>> {
    let several: Vec<Spanned<&str>> = match &urls.value {
        UrlsSource::One(url) => vec![Spanned { value: url, referenced: urls.referenced }],
        UrlsSource::Several(urls) => urls.iter().map(Spanned::as_text).collect(),
    };
    if several.is_empty() {
        let problem = file.error(Code::EmptyList, urls.referenced, "nothing says where this server is");
        found.push(problem.help("write a URL, or a list of URLs that lead to the same server"));
        return None;
    }
    let mut known = HashSet::new();
    let mut read = Vec::new();
    for url in &several {
        let uri = read_url(url.value, Place::File(file, url.referenced), found);
        if let Some(uri) = &uri
            && !known.insert(uri.clone())
        {
            let message = format!("{} stands there twice", quoted(url.value));
            let problem = file.error(Code::DuplicateName, url.referenced, message);
            found.push(problem.help("delete it: each place of a server is one entry"));
            read.push(None);
            continue;
        }
        read.push(uri);
    }
    read.into_iter().collect()
}

impl<'de> Deserialize<'de> for UrlsSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UrlsVisitor)
    }
}

struct UrlsVisitor;

impl<'de> Visitor<'de> for UrlsVisitor {
    type Value = UrlsSource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a URL such as `http://127.0.0.1:8000/mcp`, or a list of them")
    }

    fn visit_str<E>(self, url: &str) -> Result<UrlsSource, E> {
        Ok(UrlsSource::One(url.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<UrlsSource, A::Error> {
        let mut urls = Vec::new();
        while let Some(url) = list.next_element()? {
            urls.push(url);
        }
        Ok(UrlsSource::Several(urls))
    }
}

impl JsonSchema for UrlsSource {
    fn schema_name() -> Cow<'static, str> {
        "Urls".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "array"], "items": { "type": "string" }, "minItems": 1 })
    }
}
