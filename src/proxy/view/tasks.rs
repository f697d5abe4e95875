//! The tasks of a client's session at all its servers, as one list: each page of it is a page of one of them, as that gave it.

use std::sync::Arc;

use bytes::Bytes;

use super::here::Here;
use super::session::{Within, spoken};
use crate::exchange::Refusal;
use crate::federation::TasksFrom;
use crate::mcp::{self, Call, Page, ServerName};
use crate::state::StateError;
use crate::upstream::UpstreamError;

/// So much may stand on a page.
const LONGEST: usize = 8 << 20;

/// The page that the call asks for. A server that does not answer hides none of the others.
pub(super) async fn page(here: &Here<'_>, within: &Within, call: &Arc<Call>) -> Result<String, Refusal> {
    let (view, account) = (&here.view.name, &**here.caller.principal.account());
    let cursors = &here.gateway.cursors;
    let from = match mcp::cursor(call) {
        Some(cursor) => Some(cursors.open_tasks(view, account, &cursor).ok_or(StateError::NoCursor)?),
        None => None,
    };
    let begins = |server: &&ServerName| from.as_ref().is_none_or(|(from, _)| *server >= from);
    let mut servers = here.lists_tasks().filter(begins).peekable();
    let mut failed = Err(here.unknown(call));
    while let Some(server) = servers.next() {
        let theirs = from.as_ref().filter(|(from, _)| from == server).and_then(|(_, theirs)| theirs.as_deref());
        match at(within, server, &Arc::new(mcp::at_cursor(call, theirs)?)).await {
            Ok(answer) => match Page::read(answer.clone()) {
                Some(page) => {
                    let behind = page.next().map(|next| (server.clone(), Some(next)));
                    let behind = behind.or_else(|| servers.peek().map(|server| ((*server).clone(), None)));
                    let next = behind.and_then(|behind: TasksFrom| cursors.seal_tasks(view, account, &behind));
                    return Ok(text(&page.leading_to(next.as_deref())));
                }
                None => failed = Ok(text(&answer)),
            },
            Err(refusal) => failed = Err(refusal),
        }
        // Who has seen a page of its tasks is not to believe that there is no other.
        if theirs.is_some() {
            break;
        }
    }
    failed
}

/// What a server answers to this, in its client's session there.
async fn at(within: &Within, server: &ServerName, call: &Arc<Call>) -> Result<Bytes, Refusal> {
    let nowhere = || UpstreamError::BrokeOff("it did not answer as it should".to_owned());
    let route = within.gateway.routes.route(server).ok_or_else(nowhere)?;
    let begun = within.leg(route, call).await?;
    let answer = within.say(route, Arc::clone(call), &begun).await;
    let (answer, _) = spoken(answer, LONGEST).await.ok_or_else(nowhere)?;
    Ok(answer)
}

fn text(answer: &[u8]) -> String {
    String::from_utf8_lossy(answer).into_owned()
}
