//! What tokens may be signed with: public keys only, so that no key that verifies could sign.

use jsonwebtoken::Algorithm as Crypto;

/// An algorithm that signs with a private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

/// The kind of key that an algorithm needs. A key of one kind is never used for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Algorithm {
    const ALL: [Self; 9] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// All names, for whoever misspelt one.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().map(Self::name)
    }

    /// The one of this name (RFC 7518, 3.1; RFC 8037).
    pub(super) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    pub(super) fn family(self) -> Family {
        match self {
            Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512 => Family::Rsa,
            Self::Es256 => Family::P256,
            Self::Es384 => Family::P384,
            Self::EdDsa => Family::Ed25519,
        }
    }

    /// What the library calls it.
    pub(super) fn crypto(self) -> Crypto {
        match self {
            Self::Rs256 => Crypto::RS256,
            Self::Rs384 => Crypto::RS384,
            Self::Rs512 => Crypto::RS512,
            Self::Ps256 => Crypto::PS256,
            Self::Ps384 => Crypto::PS384,
            Self::Ps512 => Crypto::PS512,
            Self::Es256 => Crypto::ES256,
            Self::Es384 => Crypto::ES384,
            Self::EdDsa => Crypto::EdDSA,
        }
    }
}
