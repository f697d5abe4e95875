//! The connections to a server. Whoever asks over one drives it: a call is handed to no other task and back, which is a
//! fifth of what it costs to pass it on. And it is kept for the thread that has made it, which is the one that hears when something
//! comes over it.

use std::error::Error;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};
use std::{fmt, io};

use bytes::Bytes;
use hashbrown::HashMap;
use http::header::{HOST, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use tower::Service as _;

use super::UpstreamError;
use super::connections::{Counting, Open};
use super::error::chain;
use super::names::Resolver;
use crate::clock;

/// Makes connections.
pub(super) type Connector = Counting<HttpsConnector<HttpConnector<Resolver>>>;

/// Kept-alive connections go before Node's and Python's servers close them (after 5 s), so that no request is written
/// into a closing one.
const IDLE: Duration = Duration::from_secs(4);
/// So many are kept to one place.
const MOST: usize = 1024;
/// So much of a reply is read before it is wanted, for each call whose caller is slow.
const BUFFER: usize = 128 << 10;

/// Connections that nobody uses, and how more are made.
#[derive(Debug)]
pub(super) struct Links {
    connector: Connector,
    idle: Mutex<HashMap<Origin, Vec<Idle>>>,
}

/// Where a connection leads, and from which thread.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Origin {
    scheme: Scheme,
    authority: Authority,
    thread: ThreadId,
}

/// A connection on which something may be asked.
struct Idle {
    link: Link,
    since: Instant,
}

/// A connection, with both of its ends in one hand.
struct Link {
    sender: SendRequest<Full<Bytes>>,
    /// `None` once it has ended.
    connection: Option<Pin<Box<Driven>>>,
}

type Driven = Connection<Open<<HttpsConnector<HttpConnector<Resolver>> as tower::Service<Uri>>::Response>, Full<Bytes>>;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum SendError {
    /// There is no connection.
    Unreachable(String),
    /// There was none for so long.
    Late(Duration),
    /// Nothing of the request was written: the server closed the connection while nobody used it.
    Unwritten(String),
    /// Something may have been.
    BrokeOff(String),
}

impl From<SendError> for UpstreamError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Unreachable(why) => Self::Unreachable(why),
            SendError::Late(patience) => Self::NotConnected(patience),
            SendError::Unwritten(why) => Self::Unwritten(why),
            SendError::BrokeOff(why) => Self::BrokeOff(why),
        }
    }
}

/// What a server says, as it comes. Its connection is kept for the next one when this has ended, and closed when it is
/// dropped before, which is how a server hears that nobody listens any more.
pub struct ReplyStream {
    body: Incoming,
    held: Option<Held>,
}

/// The connection of an answer, and where it is kept afterwards.
struct Held {
    link: Link,
    origin: Origin,
    kept_by: Weak<Links>,
}

impl Links {
    pub(super) fn new(connector: Connector) -> Self {
        Self { connector, idle: Mutex::default() }
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    /// There is none.
    pub(super) async fn request(
        self: &Arc<Self>,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<ReplyStream>, SendError> {
        let origin =
            Origin::of(request.uri()).ok_or_else(|| SendError::Unreachable("its URL names no host".to_owned()))?;
        let url = prepare(&mut request, &origin);
        let mut link = match self.kept(&origin) {
            Some(link) => link,
            None => Box::pin(self.connect(&url)).await?, // in a box: it is large, and rare
        };
        match link.send(request).await {
            Ok(answer) => {
                let held = Held { link, origin, kept_by: Arc::downgrade(self) };
                Ok(answer.map(|body| ReplyStream::new(body, held)))
            }
            Err(mut error) => match error.take_message() {
                Some(_given_back) => Err(SendError::Unwritten(chain(error.error()))),
                None => Err(SendError::BrokeOff(chain(error.error()))),
            },
        }
    }

    /// Closes what was not used for too long.
    pub(super) fn sweep(&self) {
        let now = clock::monotonic();
        let mut idle = self.idle();
        idle.retain(|_, links| {
            links.retain(|idle| now.saturating_duration_since(idle.since) < IDLE);
            !links.is_empty()
        });
    }

    /// The connection that was used last: the others may be spared.
    fn kept(&self, origin: &Origin) -> Option<Link> {
        let now = clock::monotonic();
        loop {
            let Idle { mut link, since } = self.idle().get_mut(origin)?.pop()?;
            if now.saturating_duration_since(since) < IDLE && link.is_open() {
                return Some(link);
            }
        }
    }

    fn keep(&self, origin: Origin, link: Link) {
        let mut idle = self.idle();
        let links = idle.entry(origin).or_default();
        if links.len() < MOST {
            links.push(Idle { link, since: clock::monotonic() });
        }
    }

    async fn connect(&self, url: &Uri) -> Result<Link, SendError> {
        let stream = self.connector.clone().call(url.clone()).await.map_err(|error| {
            if is_late(&*error) {
                SendError::Late(self.connector.patience)
            } else {
                SendError::Unreachable(chain(&*error))
            }
        })?;
        let made = http1::Builder::new().max_buf_size(BUFFER).handshake(stream).await;
        let (sender, connection) = made.map_err(|error| SendError::Unreachable(chain(&error)))?;
        Ok(Link { sender, connection: Some(Box::pin(connection)) })
    }

    fn idle(&self) -> MutexGuard<'_, HashMap<Origin, Vec<Idle>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_late(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            return true;
        }
        cause = error.source();
    }
    false
}

impl Origin {
    fn of(url: &Uri) -> Option<Self> {
        Some(Self {
            scheme: url.scheme()?.clone(),
            authority: url.authority()?.clone(),
            thread: thread::current().id(),
        })
    }
}

/// The request as it goes over a connection to there (RFC 9112, 3.2.1). Returns its URL.
fn prepare(request: &mut Request<Full<Bytes>>, origin: &Origin) -> Uri {
    let host = origin.authority.as_str();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    if let Ok(host) = HeaderValue::from_str(host) {
        request.headers_mut().insert(HOST, host);
    }
    let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    std::mem::replace(request.uri_mut(), Uri::from(path))
}

impl Link {
    /// Sends it and waits for the head of the answer.
    async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>> {
        let Self { sender, connection } = self;
        let mut answer = pin!(sender.try_send_request(request));
        std::future::poll_fn(|cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(answer);
            }
            drive(connection, cx);
            answer.as_mut().poll(cx)
        })
        .await
    }

    /// Whether the other end has it open, as far as it is known here.
    fn is_open(&mut self) -> bool {
        drive(&mut self.connection, &mut Context::from_waker(Waker::noop()));
        self.connection.is_some() && self.sender.is_ready()
    }
}

/// Reads and writes what there is.
fn drive(connection: &mut Option<Pin<Box<Driven>>>, cx: &mut Context<'_>) {
    if let Some(driven) = connection
        && driven.as_mut().poll(cx).is_ready()
    {
        // What was wrong with it, its request is told.
        *connection = None;
    }
}

impl ReplyStream {
    fn new(body: Incoming, held: Held) -> Self {
        let mut stream = Self { body, held: Some(held) };
        if stream.is_end_stream() {
            stream.give_back();
        }
        stream
    }

    /// All has come: the connection is free.
    fn give_back(&mut self) {
        if let Some(Held { mut link, origin, kept_by }) = self.held.take()
            && let Some(links) = kept_by.upgrade()
            && link.is_open()
        {
            links.keep(origin, link);
        }
    }
}

impl Body for ReplyStream {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Self { body, held } = &mut *self;
        let mut frame = Pin::new(&mut *body).poll_frame(cx);
        if let (Poll::Pending, Some(held)) = (&frame, held) {
            drive(&mut held.link.connection, cx);
            frame = Pin::new(body).poll_frame(cx);
        }
        if matches!(frame, Poll::Ready(None)) || self.is_end_stream() {
            self.give_back();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl fmt::Debug for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idle").field("since", &self.since).finish_non_exhaustive()
    }
}

impl fmt::Debug for ReplyStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyStream").field("body", &self.body).finish_non_exhaustive()
    }
}
