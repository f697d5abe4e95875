//! What a server can ask of a client.

use std::ops::{BitAnd, BitOr};

/// Something that a server can ask of a client. It is named as the capability is by which clients offer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// To ask its user.
    Elicitation,
    /// To ask its model.
    Sampling,
    /// Which folders its user works in.
    Roots,
}

/// Some of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Questions(u8);

impl Question {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Elicitation, Self::Sampling, Self::Roots];

    /// The capability by which a client offers it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Elicitation => "elicitation",
            Self::Sampling => "sampling",
            Self::Roots => "roots",
        }
    }

    /// The method that asks it.
    pub fn method(self) -> &'static str {
        match self {
            Self::Elicitation => "elicitation/create",
            Self::Sampling => "sampling/createMessage",
            Self::Roots => "roots/list",
        }
    }

    /// What this capability offers.
    pub fn named(capability: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|question| question.name() == capability)
    }

    /// What this method asks.
    pub fn of(method: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|question| question.method() == method)
    }

    fn bit(self) -> u8 {
        match self {
            Self::Elicitation => 1,
            Self::Sampling => 2,
            Self::Roots => 4,
        }
    }
}

impl Questions {
    /// Whether this is one of them.
    pub fn has(self, question: Question) -> bool {
        self.0 & question.bit() != 0
    }

    /// All but these.
    #[must_use]
    pub fn others(self) -> Self {
        Question::ALL.into_iter().filter(|question| !self.has(*question)).collect()
    }
}

impl From<Question> for Questions {
    fn from(question: Question) -> Self {
        Self(question.bit())
    }
}

/// Those of either.
impl BitOr for Questions {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Those of both.
impl BitAnd for Questions {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl FromIterator<Question> for Questions {
    fn from_iter<I: IntoIterator<Item = Question>>(questions: I) -> Self {
        questions.into_iter().fold(Self::default(), |all, one| all | one.into())
    }
}
