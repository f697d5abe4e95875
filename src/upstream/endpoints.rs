//! Where a server is.

use http::uri::Uri;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoints {
    /// It speaks Streamable HTTP here.
    Streamable(Uri),
    /// It speaks HTTP+SSE (2024-11-05): its stream is here.
    Sse(Uri),
    /// It speaks both.
    Both {
        /// Its endpoint of Streamable HTTP.
        streamable: Uri,
        /// Its stream of HTTP+SSE.
        sse: Uri,
    },
}

impl Endpoints {
    /// Its endpoint of Streamable HTTP.
    pub fn streamable(&self) -> Option<&Uri> {
        match self {
            Self::Streamable(url) | Self::Both { streamable: url, .. } => Some(url),
            Self::Sse(_) => None,
        }
    }

    /// Its stream of HTTP+SSE.
    pub fn sse(&self) -> Option<&Uri> {
        match self {
            Self::Sse(url) | Self::Both { sse: url, .. } => Some(url),
            Self::Streamable(_) => None,
        }
    }

    /// Whichever there is.
    pub fn any(&self) -> &Uri {
        match self {
            Self::Streamable(url) | Self::Sse(url) | Self::Both { streamable: url, .. } => url,
        }
    }
}
