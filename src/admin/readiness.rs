//! Ready when every latch is released. A latch is held by the part of the gate that is not ready.

use std::sync::atomic::{AtomicU8, Ordering};

/// What the gate waits for before it is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latch {
    /// Policies are read and in force. Held from the start.
    Policies,
    /// The upstream's address is known and it answered, or it need not. Held from the start.
    Upstream,
    /// Every issuer of tokens was asked for its keys, and somebody can prove who they are. Held from the start.
    Issuers,
    /// Calls can be recorded, or need not be. Released from the start; held while the audit log cannot be written.
    Audit,
    /// The gate is going away. Released from the start; held while it drains.
    Draining,
}

/// Which latches are held.
#[derive(Debug)]
pub struct Readiness(AtomicU8);

impl Latch {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Policies, Self::Upstream, Self::Issuers, Self::Audit, Self::Draining];

    /// Its name in the answer of `/readyz`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Policies => "policies",
            Self::Upstream => "upstream",
            Self::Issuers => "issuers",
            Self::Audit => "audit",
            Self::Draining => "draining",
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::Policies => 1,
            Self::Upstream => 2,
            Self::Draining => 4,
            Self::Issuers => 8,
            Self::Audit => 16,
        }
    }
}

impl Readiness {
    /// Not ready yet.
    pub fn new() -> Self {
        Self(AtomicU8::new(Latch::Policies.bit() | Latch::Upstream.bit() | Latch::Issuers.bit()))
    }

    /// This part is ready.
    pub fn release(&self, latch: Latch) {
        self.0.fetch_and(!latch.bit(), Ordering::Release);
    }

    /// This part is not ready, or not any more.
    pub fn hold(&self, latch: Latch) {
        self.0.fetch_or(latch.bit(), Ordering::Release);
    }

    /// Whether this latch is held.
    pub fn holds(&self, latch: Latch) -> bool {
        self.0.load(Ordering::Acquire) & latch.bit() != 0
    }

    /// Whether every latch is released.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}
