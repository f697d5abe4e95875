//! Which detectors there are.

use std::ops::{BitAnd, BitOr, Range};

use super::{Place, address, identifier, number, secret};

/// Finds one kind of thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Detector {
    /// Access keys of AWS.
    AwsKey,
    /// Account keys of Azure Storage, and of what is built like it.
    AzureKey,
    /// API keys of Google, and OAuth tokens and client secrets.
    GoogleKey,
    /// Tokens of GitHub.
    GithubToken,
    /// Tokens of GitLab.
    GitlabToken,
    /// Tokens and hooks of Slack.
    SlackToken,
    /// Keys of Stripe.
    StripeKey,
    /// Keys of providers of models.
    AiKey,
    /// Tokens of registries of packages and images.
    RegistryToken,
    /// Tokens of other services that say what they are.
    ServiceToken,
    /// Keys of Tollgate.
    TollgateKey,
    /// JSON Web Tokens (RFC 7519), signed.
    Jwt,
    /// Private keys in PEM (RFC 7468).
    PrivateKey,
    /// User and password in a URL (RFC 3986, 3.2.1).
    UrlPassword,
    /// Mail addresses.
    Email,
    /// Numbers of payment cards (ISO/IEC 7812).
    Card,
    /// Numbers of bank accounts (ISO 13616).
    Iban,
    /// United States: Social Security number.
    IdUs,
    /// Canada: Social Insurance Number, in groups.
    IdCa,
    /// Brazil: CPF.
    IdBr,
    /// United Kingdom: National Insurance number.
    IdGb,
    /// Germany: Steuer-Identifikationsnummer.
    IdDe,
    /// France: NIR.
    IdFr,
    /// Spain: DNI and NIE.
    IdEs,
    /// Italy: codice fiscale.
    IdIt,
    /// Netherlands: BSN.
    IdNl,
    /// Belgium: rijksregisternummer.
    IdBe,
    /// Poland: PESEL.
    IdPl,
    /// Sweden: personnummer.
    IdSe,
    /// Switzerland: AHV number.
    IdCh,
    /// India: Aadhaar, in groups.
    IdIn,
}

/// Several that are asked for by one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// What opens something.
    Secrets,
    /// National numbers of people.
    Ids,
}

/// A set of detectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Detectors(u64);

impl Detector {
    /// All there are.
    pub const ALL: [Self; 31] = [
        Self::AwsKey,
        Self::AzureKey,
        Self::GoogleKey,
        Self::GithubToken,
        Self::GitlabToken,
        Self::SlackToken,
        Self::StripeKey,
        Self::AiKey,
        Self::RegistryToken,
        Self::ServiceToken,
        Self::TollgateKey,
        Self::Jwt,
        Self::PrivateKey,
        Self::UrlPassword,
        Self::Email,
        Self::Card,
        Self::Iban,
        Self::IdUs,
        Self::IdCa,
        Self::IdBr,
        Self::IdGb,
        Self::IdDe,
        Self::IdFr,
        Self::IdEs,
        Self::IdIt,
        Self::IdNl,
        Self::IdBe,
        Self::IdPl,
        Self::IdSe,
        Self::IdCh,
        Self::IdIn,
    ];

    /// What it is called in policies, labels and masks.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AwsKey => "aws_key",
            Self::AzureKey => "azure_key",
            Self::GoogleKey => "google_key",
            Self::GithubToken => "github_token",
            Self::GitlabToken => "gitlab_token",
            Self::SlackToken => "slack_token",
            Self::StripeKey => "stripe_key",
            Self::AiKey => "ai_key",
            Self::RegistryToken => "registry_token",
            Self::ServiceToken => "service_token",
            Self::TollgateKey => "tollgate_key",
            Self::Jwt => "jwt",
            Self::PrivateKey => "private_key",
            Self::UrlPassword => "url_password",
            Self::Email => "email",
            Self::Card => "card",
            Self::Iban => "iban",
            Self::IdUs => "id_us",
            Self::IdCa => "id_ca",
            Self::IdBr => "id_br",
            Self::IdGb => "id_gb",
            Self::IdDe => "id_de",
            Self::IdFr => "id_fr",
            Self::IdEs => "id_es",
            Self::IdIt => "id_it",
            Self::IdNl => "id_nl",
            Self::IdBe => "id_be",
            Self::IdPl => "id_pl",
            Self::IdSe => "id_se",
            Self::IdCh => "id_ch",
            Self::IdIn => "id_in",
        }
    }

    /// The detectors that this word of a policy means: one, or a group.
    pub fn named(word: &str) -> Option<Detectors> {
        let one = Self::ALL.into_iter().find(|detector| detector.name() == word).map(Detectors::from);
        one.or_else(|| Group::ALL.into_iter().find(|group| group.name() == word).map(Group::detectors))
    }

    fn group(self) -> Option<Group> {
        if secret::is_secret(self) {
            return Some(Group::Secrets);
        }
        identifier::is_national(self).then_some(Group::Ids)
    }

    /// Whether what it finds can have this byte as its first (0), second or third one. What is found by a mark within it
    /// has that as its first.
    pub(super) fn may_have(self, byte: u8, at: usize) -> bool {
        let spelt = |text: &str| text.as_bytes().get(at) == Some(&byte);
        match self {
            Self::Email => at > 0 || byte == b'@',
            Self::UrlPassword => spelt("://"),
            Self::PrivateKey => spelt("---"),
            Self::Jwt => spelt("eyJ"),
            Self::Card => at > 0 || byte.is_ascii_digit(),
            Self::Iban if at < 2 => byte.is_ascii_uppercase(),
            Self::Iban => byte.is_ascii_digit(),
            _ if identifier::is_national(self) => identifier::may_have(self, byte, at),
            _ => secret::prefixes(self).any(spelt),
        }
    }

    /// Whether what it finds can begin with exactly so many digits.
    pub(super) fn may_begin_with_row(self, row: usize) -> bool {
        match self {
            Self::Card => row == 4 || (13..=19).contains(&row),
            _ => identifier::may_begin_with_row(self, row),
        }
    }

    /// What it finds here.
    pub(super) fn read(self, place: Place<'_>) -> Option<Range<usize>> {
        let to = |length: Option<usize>| length.map(|length| place.at..place.at + length);
        match self {
            Self::Email => address::email(place),
            Self::UrlPassword => address::url_password(place),
            Self::PrivateKey => to(secret::private_key(place.rest())),
            Self::Jwt => to(secret::jwt(place)),
            Self::Card => to(number::card(place.rest())),
            Self::Iban => to(number::iban(place.rest())),
            _ if identifier::is_national(self) => to(identifier::read(self, place.rest())),
            _ => to(secret::token_length(self, place.rest())),
        }
    }
}

impl Group {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Secrets, Self::Ids];

    /// What it is called in policies.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Secrets => "secrets",
            Self::Ids => "ids",
        }
    }

    fn detectors(self) -> Detectors {
        let of = Detector::ALL.into_iter().filter(|detector| detector.group() == Some(self));
        of.fold(Detectors::NONE, |all, one| all | one.into())
    }
}

impl Detectors {
    /// None.
    pub const NONE: Self = Self(0);

    /// All of them.
    pub fn all() -> Self {
        Detector::ALL.into_iter().fold(Self::NONE, |all, one| all | one.into())
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Detector> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let next = Detector::ALL.get(left.trailing_zeros() as usize).copied()?;
            left &= left - 1;
            Some(next)
        })
    }

    /// Whether this is one of them.
    pub fn has(self, detector: Detector) -> bool {
        !(self & detector.into()).is_empty()
    }
}

impl From<Detector> for Detectors {
    fn from(detector: Detector) -> Self {
        Self(1 << detector as u8)
    }
}

impl BitOr for Detectors {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Detectors {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}
