//! How things end that happen now and then: words of closed sets, for labels.

/// How a reload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// What is new is in force.
    Ok,
    /// It has problems; the old one stays.
    Refused,
}

/// How a TLS handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// There is a connection.
    Ok,
    /// One side did not like the other.
    Refused,
    /// It took too long.
    Slow,
    /// It was none.
    Plain,
}

impl Handshake {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Slow => "slow",
            Self::Plain => "plain",
        }
    }
}

impl Reload {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
        }
    }
}
