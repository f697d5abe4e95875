//! What opens something: tokens that say by their first characters what they are, and private keys.

use memchr::memmem;

use super::{Detector, Place, run};

/// How one kind of token is built.
struct Token {
    detector: Detector,
    prefix: &'static str,
    /// What stands behind the prefix.
    of: fn(u8) -> bool,
    /// So much of that at least: all of it is the token's, so that nothing is read twice.
    least: usize,
}

use Detector::{
    AiKey, AwsKey, AzureKey, GithubToken, GitlabToken, GoogleKey, RegistryToken, ServiceToken, SlackToken, StripeKey,
    TollgateKey,
};

/// As their issuers document them.
const TOKENS: &[Token] = &[
    token(AwsKey, "AKIA", is_base32, 16),
    token(AwsKey, "ASIA", is_base32, 16),
    token(AwsKey, "ABIA", is_base32, 16),
    token(AwsKey, "ACCA", is_base32, 16),
    token(AzureKey, "AccountKey=", is_base64, 86),
    token(AzureKey, "SharedAccessKey=", is_base64, 43),
    token(GoogleKey, "AIza", is_base64url, 35),
    token(GoogleKey, "GOCSPX-", is_base64url, 28),
    token(GoogleKey, "ya29.", is_base64url, 30),
    token(GithubToken, "ghp_", is_alphanumeric, 36),
    token(GithubToken, "gho_", is_alphanumeric, 36),
    token(GithubToken, "ghu_", is_alphanumeric, 36),
    token(GithubToken, "ghs_", is_alphanumeric, 36),
    token(GithubToken, "ghr_", is_alphanumeric, 36),
    token(GithubToken, "github_pat_", is_base64url, 22),
    token(GitlabToken, "glpat-", is_base64url, 20),
    token(GitlabToken, "gldt-", is_base64url, 20),
    token(GitlabToken, "glrt-", is_base64url, 20),
    token(GitlabToken, "glcbt-", is_base64url, 20),
    token(GitlabToken, "glptt-", is_base64url, 20),
    token(GitlabToken, "gloas-", is_base64url, 20),
    token(SlackToken, "xoxb-", is_base64url, 10),
    token(SlackToken, "xoxp-", is_base64url, 10),
    token(SlackToken, "xoxa-", is_base64url, 10),
    token(SlackToken, "xoxe-", is_base64url, 10),
    token(SlackToken, "xoxr-", is_base64url, 10),
    token(SlackToken, "xoxs-", is_base64url, 10),
    token(SlackToken, "xapp-", is_base64url, 10),
    token(SlackToken, "hooks.slack.com/services/", is_path, 20),
    token(StripeKey, "sk_live_", is_alphanumeric, 16),
    token(StripeKey, "sk_test_", is_alphanumeric, 16),
    token(StripeKey, "rk_live_", is_alphanumeric, 16),
    token(StripeKey, "rk_test_", is_alphanumeric, 16),
    token(StripeKey, "whsec_", is_base64, 24),
    token(AiKey, "sk-ant-", is_base64url, 20),
    token(AiKey, "sk-proj-", is_base64url, 20),
    token(AiKey, "sk-svcacct-", is_base64url, 20),
    token(AiKey, "sk-admin-", is_base64url, 20),
    token(AiKey, "sk-", is_alphanumeric, 48),
    token(AiKey, "hf_", is_alphanumeric, 34),
    token(AiKey, "gsk_", is_alphanumeric, 40),
    token(RegistryToken, "npm_", is_alphanumeric, 36),
    token(RegistryToken, "pypi-", is_base64url, 50),
    token(RegistryToken, "rubygems_", is_hexadecimal, 48),
    token(RegistryToken, "dckr_pat_", is_base64url, 27),
    token(ServiceToken, "dop_v1_", is_hexadecimal, 64),
    token(ServiceToken, "shpat_", is_hexadecimal, 32),
    token(ServiceToken, "shpss_", is_hexadecimal, 32),
    token(ServiceToken, "SG.", is_dotted, 66),
    token(ServiceToken, "glsa_", is_base64url, 40),
    token(ServiceToken, "hvs.", is_base64url, 24),
    token(ServiceToken, "AGE-SECRET-KEY-1", is_alphanumeric, 58),
    token(ServiceToken, "PMAK-", is_base64url, 50),
    token(ServiceToken, "lin_api_", is_alphanumeric, 40),
    token(ServiceToken, "ntn_", is_alphanumeric, 40),
    token(ServiceToken, "ATATT3", is_base64url, 100),
    token(TollgateKey, "tg_", is_base64url, 41),
];

const fn token(detector: Detector, prefix: &'static str, of: fn(u8) -> bool, least: usize) -> Token {
    Token { detector, prefix, of, least }
}

pub(super) fn is_secret(detector: Detector) -> bool {
    matches!(detector, Detector::Jwt | Detector::PrivateKey | Detector::UrlPassword)
        || TOKENS.iter().any(|token| token.detector == detector)
}

/// What its tokens begin with.
pub(super) fn prefixes(detector: Detector) -> impl Iterator<Item = &'static str> {
    TOKENS.iter().filter(move |token| token.detector == detector).map(|token| token.prefix)
}

/// How long the token of this kind is that stands here.
pub(super) fn token_length(detector: Detector, rest: &[u8]) -> Option<usize> {
    let fits = |token: &&Token| token.detector == detector && rest.starts_with(token.prefix.as_bytes());
    TOKENS.iter().filter(fits).find_map(|token| {
        let behind = rest.get(token.prefix.len()..)?;
        let length = run(behind, token.of);
        (length >= token.least).then_some(token.prefix.len() + length)
    })
}

/// A private key, with its frame; one whose end is missing goes on to the end of the text.
pub(super) fn private_key(rest: &[u8]) -> Option<usize> {
    /// `BEGIN`, and before `PRIVATE KEY` at most the name of a kind.
    const LONGEST_LABEL: usize = 48;
    let label = rest.strip_prefix(b"-----BEGIN ")?;
    let label = label.get(..run(label, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' '))?;
    if label.len() > LONGEST_LABEL || memmem::find(label, b"PRIVATE KEY").is_none() {
        return None;
    }
    let Some(end) = memmem::find(rest, b"-----END ").map(|end| end + b"-----END ".len()) else {
        return Some(rest.len());
    };
    // Whatever else stands there is no part of it.
    let behind = rest.get(end..)?;
    let behind = behind.strip_prefix(label).unwrap_or(behind);
    Some(rest.len() - behind.len() + run(behind, |byte| byte == b'-'))
}

/// A signed token: two objects and a signature, each in base64url. It begins where nothing of that stands before it, so
/// that no text is read twice.
pub(super) fn jwt(place: Place<'_>) -> Option<usize> {
    if place.before().is_some_and(is_base64url) {
        return None;
    }
    let rest = place.rest();
    let object = |at: usize| {
        let segment = rest.get(at..)?;
        let length = run(segment, is_base64url);
        (segment.starts_with(b"eyJ") && segment.get(length) == Some(&b'.')).then_some(at + length + 1)
    };
    let signature = object(object(0)?)?;
    Some(signature + run(rest.get(signature..)?, is_base64url))
}

fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn is_base32(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'2'..=b'7')
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn is_hexadecimal(byte: u8) -> bool {
    byte.is_ascii_hexdigit()
}

fn is_dotted(byte: u8) -> bool {
    is_base64url(byte) || byte == b'.'
}

fn is_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'/'
}
