//! Where a server is.

use http::uri::Uri;

/// Where a server is: in one place, or in several that do the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    streamable: Box<[Uri]>,
    sse: Box<[Uri]>,
}

impl Endpoints {
    /// Where it speaks Streamable HTTP, and where its streams of HTTP+SSE (2024-11-05) are. `None` if nowhere.
    pub fn new(streamable: Vec<Uri>, sse: Vec<Uri>) -> Option<Self> {
        let somewhere = !streamable.is_empty() || !sse.is_empty();
        somewhere.then(|| Self { streamable: streamable.into(), sse: sse.into() })
    }

    /// Where it speaks Streamable HTTP.
    pub fn streamable(&self) -> &[Uri] {
        &self.streamable
    }

    /// Where its streams of HTTP+SSE are.
    pub fn sse(&self) -> &[Uri] {
        &self.sse
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Uri> {
        self.streamable.iter().chain(&self.sse)
    }
}

/// It speaks Streamable HTTP there.
impl From<Uri> for Endpoints {
    fn from(url: Uri) -> Self {
        Self { streamable: Box::new([url]), sse: Box::default() }
    }
}
