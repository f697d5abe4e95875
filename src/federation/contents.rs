//! All that a server told at once.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::kind::Kind;
use crate::inspect::{self, Listed};
use crate::jsonrpc::code::METHOD_NOT_FOUND;
use crate::mcp::{Era, ProtocolVersion};

/// All that a server told at once.
#[derive(Debug, PartialEq)]
pub struct Contents {
    /// Its tools, prompts, resources and templates, each in its own order.
    pub(super) things: [Vec<Listed>; 4],
    /// Which eras it speaks.
    pub eras: Eras,
    /// What it tells models of itself.
    pub instructions: Option<Box<str>>,
    /// What else it can do for its clients.
    pub offers: Vec<Offer>,
}

/// What a server can do for its clients beside having things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// It writes logs.
    Logging,
    /// It completes what they type.
    Completions,
    /// It tells of changes of single resources.
    Subscriptions,
    /// It runs calls as tasks, for clients of 2025-11-25.
    Tasks,
    /// The same lists them.
    TaskLists,
    /// The same lets them be cancelled.
    TaskCancellations,
    /// It runs calls as tasks, for clients of 2026-07-28.
    TasksExtension,
}

/// Which eras a server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Eras {
    /// Sessions by `initialize`: the latest revision.
    pub legacy: Option<ProtocolVersion>,
    /// Everything in each request.
    pub modern: bool,
}

/// What a server tells one caller.
#[derive(Debug)]
pub struct Telling {
    /// What it has.
    pub contents: Contents,
    /// For how long it says that it holds.
    pub ttl: Option<Duration>,
}

/// The lists of a server, page by page.
#[derive(Debug, Default)]
pub(super) struct Pages {
    pub(super) all: Vec<(Kind, Bytes)>,
    /// For how long the server says that they hold.
    pub(super) ttl: Option<Duration>,
}

/// Asks a server, in somebody's name.
pub trait Asks: Send {
    /// The answer to such a request: what it means, and its bytes.
    ///
    /// # Errors
    /// There is none; why.
    fn ask(
        &mut self,
        method: &'static str,
        params: Value,
    ) -> impl Future<Output = Result<(Value, Bytes), String>> + Send;
}

/// So many pages of a list are read.
const MOST_PAGES: usize = 200;
/// So much of what a server tells models of itself is passed on.
const MOST_INSTRUCTIONS: usize = 4096;
/// What is kept of a thing takes about so much beside its definition.
const OVERHEAD: usize = 256;

impl Contents {
    /// What it has of a kind.
    pub fn of(&self, kind: Kind) -> &[Listed] {
        let [tools, prompts, resources, templates] = &self.things;
        match kind {
            Kind::Tool => tools,
            Kind::Prompt => prompts,
            Kind::Resource => resources,
            Kind::Template => templates,
        }
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let things = self.things.iter().flatten().map(|thing| OVERHEAD + thing.definition.len());
        things.sum::<usize>() + self.instructions.as_ref().map_or(0, |text| text.len())
    }

    /// How many things it has.
    pub(super) fn count(&self) -> usize {
        self.things.iter().map(Vec::len).sum()
    }
}

impl Telling {
    /// What a server tells one caller, of these kinds, that was greeted so: by `server/discover`, or by `initialize`.
    ///
    /// # Errors
    /// It does not tell; why.
    pub async fn of((greeting, era): (&Value, Era), kinds: &[Kind], asks: &mut impl Asks) -> Result<Self, String> {
        let eras = match era {
            Era::Legacy => Eras { legacy: agreed(greeting), modern: false },
            Era::Modern => Eras::of(discovered(greeting).into_iter()),
        };
        let pages = Pages::of(greeting, kinds, asks).await?;
        // What else the pages say was learnt when they came.
        let things = pages.things(|_, _, _| Ok(()))?;
        let contents =
            Contents { things, eras, instructions: instructions(greeting), offers: offers(&[Some(greeting)]) };
        Ok(Self { contents, ttl: pages.ttl })
    }
}

impl Eras {
    /// Those of these revisions.
    pub(super) fn of(revisions: impl Iterator<Item = ProtocolVersion> + Clone) -> Self {
        let legacy = revisions.clone().filter(|revision| !revision.is_modern()).max();
        Self { legacy, modern: revisions.into_iter().any(ProtocolVersion::is_modern) }
    }

    /// Whether it speaks to clients of this era.
    pub fn speak(self, era: Era) -> bool {
        match era {
            Era::Legacy => self.legacy.is_some(),
            Era::Modern => self.modern,
        }
    }
}

impl Pages {
    /// All pages of the lists of these kinds that the server says it has.
    pub(super) async fn of(told: &Value, kinds: &[Kind], asks: &mut impl Asks) -> Result<Self, String> {
        let mut pages = Self::default();
        for kind in kinds.iter().copied().filter(|kind| capability(told, kind.capability()).is_some()) {
            pages.add(kind, asks).await?;
        }
        Ok(pages)
    }

    /// All pages of a list. A server that has no templates need not know of them.
    async fn add(&mut self, kind: Kind, asks: &mut impl Asks) -> Result<(), String> {
        let (method, mut params) = (kind.list().name(), json!({}));
        for _ in 0..MOST_PAGES {
            let (answer, bytes) = asks.ask(method, params.clone()).await?;
            let code = answer.pointer("/error/code").and_then(Value::as_i64);
            match (answer.get("result"), code) {
                (Some(_), _) => self.all.push((kind, bytes)),
                (None, Some(METHOD_NOT_FOUND)) if kind == Kind::Template => return Ok(()),
                (None, Some(code)) => return Err(format!("it answers with error {code}")),
                (None, None) => return Err("it does not answer as it should".to_owned()),
            }
            let said = answer.pointer("/result/ttlMs").and_then(Value::as_u64).map(Duration::from_millis);
            self.ttl = self.ttl.into_iter().chain(said).min();
            let next = answer.pointer("/result/nextCursor").filter(|cursor| cursor.is_string());
            let Some(next) = next.map(|cursor| json!({ "cursor": cursor })) else {
                return Ok(());
            };
            if next == params {
                return Err(format!("its list by {method} does not end: a page leads to itself"));
            }
            params = next;
        }
        Err(format!("its list by {method} has more than {MOST_PAGES} pages"))
    }

    /// The things on them. What else they say is for `learn`.
    pub(super) fn things(
        &self,
        mut learn: impl FnMut(Kind, &Bytes, &[Listed]) -> Result<(), String>,
    ) -> Result<[Vec<Listed>; 4], String> {
        let mut things = <[Vec<Listed>; 4]>::default();
        for (things, kind) in things.iter_mut().zip(Kind::ALL) {
            for (_, page) in self.all.iter().filter(|(of, _)| *of == kind) {
                let listed = inspect::listed(kind.reading(), page).map_err(|_unreadable| unread(kind))?;
                learn(kind, page, &listed)?;
                things.extend(listed);
            }
        }
        Ok(things)
    }
}

/// That a list cannot be read.
pub(super) fn unread(kind: Kind) -> String {
    format!("its list by {} has not one reading", kind.list().name())
}

/// What a server says of itself that it can do.
pub(super) fn capability<'t>(told: &'t Value, path: &str) -> Option<&'t Value> {
    told.pointer(&format!("/result/capabilities/{path}"))
}

/// What a server says that it can do beside having things, to clients of either era.
pub(super) fn offers(told: &[Option<&Value>]) -> Vec<Offer> {
    // What is `false` is not offered.
    let has = |path: &str| {
        told.iter().flatten().any(|told| capability(told, path).is_some_and(|it| it != &Value::Bool(false)))
    };
    let offers = [
        (Offer::Logging, "logging"),
        (Offer::Completions, "completions"),
        (Offer::Subscriptions, "resources/subscribe"),
        (Offer::Tasks, "tasks/requests/tools/call"),
        (Offer::TaskLists, "tasks/list"),
        (Offer::TaskCancellations, "tasks/cancel"),
        // A slash in a name is `~1` there (RFC 6901, 4).
        (Offer::TasksExtension, "extensions/io.modelcontextprotocol~1tasks"),
    ];
    offers.into_iter().filter_map(|(offer, path)| has(path).then_some(offer)).collect()
}

/// The legacy revision that a server has agreed to.
pub(super) fn agreed(told: &Value) -> Option<ProtocolVersion> {
    let agreed = told.pointer("/result/protocolVersion").and_then(Value::as_str).and_then(ProtocolVersion::named);
    agreed.filter(|version| !version.is_modern())
}

/// The revisions that a discover result names, as far as the gate knows them.
pub(super) fn discovered(told: &Value) -> Vec<ProtocolVersion> {
    let versions = told.pointer("/result/supportedVersions").and_then(Value::as_array);
    versions.into_iter().flatten().filter_map(|version| ProtocolVersion::named(version.as_str()?)).collect()
}

/// What a server tells models of itself.
pub(super) fn instructions(told: &Value) -> Option<Box<str>> {
    let text = told.pointer("/result/instructions")?.as_str()?.trim();
    let end = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= MOST_INSTRUCTIONS).last()?;
    let cut = if text.len() > MOST_INSTRUCTIONS { text.get(..end)? } else { text };
    (!cut.is_empty()).then(|| cut.into())
}
