//! The answer, with its reason.

use super::{RuleId, Stopped};

/// Yes or no, and which rule said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Yes or no.
    pub effect: Effect,
    /// What decided.
    pub rule: RuleId,
    /// What would have said no if it were enforced.
    pub would_deny: Option<Shadowed>,
}

impl Decision {
    /// Whether the caller is shown what this is about: what it may use, and what it may use with another token. It finds
    /// out how to get that by trying (MCP 2025-11-25, Step-Up Authorization Flow).
    pub fn shows(&self) -> bool {
        matches!(self.effect, Effect::Allow | Effect::Deny(Reason::InsufficientScope))
    }
}

/// A no of a rule that is tried out (`mode: shadow`): it is recorded, and nothing comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadowed {
    /// Why not.
    pub reason: Reason,
    /// What would have decided.
    pub rule: RuleId,
}

/// Whether what a rule refuses is refused, or only recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// It is refused.
    #[default]
    Enforce,
    /// It is recorded, and passes.
    Shadow,
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The call may be made.
    Allow,
    /// The call must not be made.
    Deny(Reason),
}

/// Why not. The caller hears less than this; see `proxy::respond`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No role of the principal grants it.
    NotGranted,
    /// A rule denies it, whatever grants it.
    Denied,
    /// It is granted, but not now.
    OutsideHours,
    /// It is granted, but not from where it was asked.
    OutsideNetworks,
    /// The name has characters that no tool name should have, and no rule spells it out.
    IllFormedName,
    /// It is granted, but the token lacks a scope that a call of it needs.
    InsufficientScope,
    /// It may be called, but not with these arguments.
    Arguments,
    /// It may be called, but not with what was found in the arguments.
    Sensitive,
    /// The method is not one that we know.
    UnknownMethod,
    /// The lock does not know the tool.
    PinMissing,
    /// The server last showed the tool as something else than the lock says.
    PinChanged,
    /// The server last showed the tool with a character that people do not see.
    HiddenCharacter,
    /// The server must be told something of the caller that is not known, or that no header can carry.
    UnfitClaim,
    /// An operator has stopped it.
    Killed(Stopped),
}
