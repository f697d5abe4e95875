//! What is asked of identity providers: over a connection to an address that somebody meant, no redirects, and no more
//! bytes or time than are due.
//!
//! The address counts, not the name: it is looked at when the name is resolved, and the connection is made to that very
//! address. So no name leads to the machine itself, its network or a cloud's metadata, unless the operator listed it.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ipnet::IpNet;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Client, RequestBuilder, Url, redirect};

use crate::diagnostic::{Code, Diagnostics, SourceFile, Spanned, quoted};
use crate::secret::Secret;

/// A whole answer must have come within this.
const TIME: Duration = Duration::from_secs(10);
/// A connection must stand within this.
const CONNECT: Duration = Duration::from_secs(3);
/// No answer may have more bytes.
pub const MOST_BYTES: usize = 1 << 20;

/// Asks what it is told to ask.
#[derive(Clone, Debug)]
pub struct Fetcher {
    secure: Client,
    /// For `http:`, which only reaches addresses that are listed.
    plain: Client,
    listed: Arc<[IpNet]>,
}

/// Why there is no answer. For operators: it says what was asked for, but quotes nothing of what came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchError(String);

impl FetchError {
    /// In words.
    pub fn new(words: String) -> Self {
        Self(words)
    }
}

/// The networks of `allow_addresses` as written; problems go to `found`.
pub fn networks(
    file: &SourceFile,
    written: Option<&Spanned<Vec<Spanned<String>>>>,
    found: &mut Diagnostics,
) -> Vec<IpNet> {
    let Some(written) = written else {
        return Vec::new();
    };
    if written.value.is_empty() {
        let problem = file.error(Code::EmptyList, written.referenced, "`allow_addresses` is empty");
        found.push(problem.help("name a network, or leave `allow_addresses` out"));
    }
    let mut listed = Vec::new();
    for text in &written.value {
        match text.value.parse::<IpNet>() {
            Ok(net) if net == net.trunc() => listed.push(net),
            _ => {
                let message = format!("{} is not a network", quoted(&text.value));
                let problem = file.error(Code::InvalidNetwork, text.referenced, message);
                found.push(problem.help("write `10.0.0.0/8` or `fd00::/8`; one address is `10.0.0.7/32`"));
            }
        }
    }
    listed
}

impl Fetcher {
    /// One that reaches public addresses and those that are listed. It believes in the certificate authorities of the
    /// system, and in those of this file.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn new(listed: Arc<[IpNet]>, authorities: Option<&Path>) -> Result<Self, FetchError> {
        let authorities = authorities.map_or(Ok(Vec::new()), certificates)?;
        let client = |reaches: Reaches| {
            Client::builder()
                .dns_resolver(Guarded(Arc::new(reaches)))
                .redirect(redirect::Policy::none())
                .no_proxy()
                .referer(false)
                .connect_timeout(CONNECT)
                .timeout(TIME)
                .tls_certs_merge(authorities.clone())
                .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(|error| FetchError(format!("no client can be made: {error}")))
        };
        Ok(Self {
            secure: client(Reaches::PublicAnd(Arc::clone(&listed)))?,
            plain: client(Reaches::Only(Arc::clone(&listed)))?,
            listed,
        })
    }

    /// The answer to a GET.
    ///
    /// # Errors
    /// It is not 200, too long, too late, or of an address that may not be asked.
    pub async fn get(&self, url: &Url, bearer: Option<&Secret>) -> Result<Bytes, FetchError> {
        let request = self.client(url)?.get(url.clone());
        self.answer(url, bearer.iter().fold(request, |request, token| request.bearer_auth(token.expose()))).await
    }

    /// The answer to a form, which a client with a secret sends (RFC 6749, 2.3.1).
    ///
    /// # Errors
    /// As of [`Fetcher::get`].
    pub async fn post(&self, url: &Url, form: String, (id, secret): (&str, &Secret)) -> Result<Bytes, FetchError> {
        let request = self.client(url)?.post(url.clone()).basic_auth(encoded(id), Some(encoded(secret.expose())));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
        self.answer(url, request).await
    }

    /// The answer to a form, also one that says no, with its status: a token endpoint says there why.
    ///
    /// # Errors
    /// As of [`Fetcher::get`], but for the status.
    pub async fn submit(
        &self,
        url: &Url,
        form: Secret,
        basic: Option<(&str, &Secret)>,
    ) -> Result<(u16, Bytes), FetchError> {
        let request = self.client(url)?.post(url.clone()).header("content-type", "application/x-www-form-urlencoded");
        let request = basic.iter().fold(request, |request, (id, secret)| request.basic_auth(id, Some(secret.expose())));
        self.send(url, request.body(form.expose().to_owned())).await
    }

    fn client(&self, url: &Url) -> Result<&Client, FetchError> {
        let (client, reaches) = match url.scheme() {
            "https" => (&self.secure, Reaches::PublicAnd(Arc::clone(&self.listed))),
            "http" => (&self.plain, Reaches::Only(Arc::clone(&self.listed))),
            _ => return Err(FetchError(format!("{url} is neither https nor http"))),
        };
        // An address in the URL is never resolved.
        match url.host_str().map(|host| host.trim_matches(['[', ']']).parse::<IpAddr>()) {
            Some(Ok(address)) if !reaches.reaches(address) => Err(FetchError(unlisted(url.as_str(), address))),
            Some(_) => Ok(client),
            None => Err(FetchError(format!("{url} names no host"))),
        }
    }

    async fn answer(&self, url: &Url, request: RequestBuilder) -> Result<Bytes, FetchError> {
        match self.send(url, request).await? {
            (200, bytes) => Ok(bytes),
            (status, _) => Err(FetchError(format!("{url} answered with {status}"))),
        }
    }

    async fn send(&self, url: &Url, request: RequestBuilder) -> Result<(u16, Bytes), FetchError> {
        let failed = |error: reqwest::Error| FetchError(format!("{url}: {}", causes(&error.without_url())));
        let mut response = request.header("accept", "application/json").send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let mut bytes = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if bytes.len() + chunk.len() > MOST_BYTES {
                return Err(FetchError(format!("{url} answered with more than {MOST_BYTES} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok((status, bytes.freeze()))
    }
}

/// A form of these members (`application/x-www-form-urlencoded`).
pub fn form(members: &[(&str, &str)]) -> String {
    members.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect::<Vec<_>>().join("&")
}

/// As it stands in a form.
fn encoded(text: &str) -> impl Display + '_ {
    const REST: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'*');
    utf8_percent_encode(text, REST)
}

/// What went wrong, down to its cause.
fn causes(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        said.push_str(": ");
        said.push_str(&error.to_string());
        cause = error.source();
    }
    said
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, FetchError> {
    let unusable = |error: &dyn Display| FetchError(format!("{}: {error}", path.display()));
    let pem = std::fs::read(path).map_err(|error| unusable(&error))?;
    Certificate::from_pem_bundle(&pem).map_err(|error| unusable(&error))
}

/// Which addresses may be connected to.
#[derive(Debug)]
enum Reaches {
    PublicAnd(Arc<[IpNet]>),
    Only(Arc<[IpNet]>),
}

impl Reaches {
    fn reaches(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        match self {
            Self::PublicAnd(listed) => is_public(address) || listed.iter().any(|net| net.contains(&address)),
            Self::Only(listed) => listed.iter().any(|net| net.contains(&address)),
        }
    }
}

/// Resolves names to addresses that may be connected to. What it returns is what is connected to.
struct Guarded(Arc<Reaches>);

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let reaches = Arc::clone(&self.0);
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            // One that may not be asked spoils them all: somebody plays with the name.
            match found.iter().find(|address| !reaches.reaches(address.ip())) {
                Some(address) => Err(unlisted(name.as_str(), address.ip()).into()),
                None => Ok(Box::new(found.into_iter()) as Addrs),
            }
        })
    }
}

fn unlisted(name: &str, address: IpAddr) -> String {
    format!("{name} is at {address}, which is no public address over https and not listed in `allow_addresses`")
}

/// Whether an address is one of the public internet (RFC 6890 and the registries of special addresses).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = match (a, b, c) {
        (0 | 10 | 127 | 224..=255, _, _)      // this network, private, loopback, multicast, reserved
        | (100, 64..=127, _)                  // shared by carriers
        | (169, 254, _)                       // link-local: metadata of clouds
        | (172, 16..=31, _) | (192, 168, _)   // private
        | (192, 0, 0 | 2) | (192, 88, 99)     // protocol assignments, documentation, 6to4 relays
        | (198, 18 | 19, _)                   // benchmarks
        | (198, 51, 100) | (203, 0, 113) => true, // documentation
        _ => false,
    };
    !special
}

/// Of `2000::/3` what is not a protocol's or a documentation's. An IPv4 address within one (6to4, NAT64, Teredo) is of none
/// of these.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    (a & 0xe000) == 0x2000
        && a != 0x2002
        && !(a == 0x2001 && (b < 0x0200 || b == 0x0db8))
        && !(a == 0x3fff && b < 0x1000)
}

impl Display for FetchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FetchError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        for public in ["1.1.1.1", "8.8.8.8", "172.32.0.1", "192.0.1.1", "100.63.0.1", "2606:4700::1111", "2a00::1"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for special in [
            "0.0.0.0",
            "10.0.0.1",
            "127.0.0.1",
            "127.9.9.9",
            "100.64.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "2001:0:1::1",
            "2001:db8::1",
            "::7f00:1",
        ] {
            assert!(!is_public(special.parse().unwrap()), "{special}");
        }
        let mapped = Reaches::PublicAnd(Arc::from([]));
        assert!(!mapped.reaches("::ffff:169.254.169.254".parse().unwrap()));
        assert!(mapped.reaches("::ffff:1.1.1.1".parse().unwrap()));
    }

    #[tokio::test]
    async fn a_name_is_only_as_good_as_the_address_it_leads_to() {
        let ask = async |url: &str, listed: &[&str]| {
            let listed: Vec<IpNet> = listed.iter().map(|net| net.parse().unwrap()).collect();
            let fetcher = Fetcher::new(listed.into(), None).unwrap();
            fetcher.get(&url.parse().unwrap(), None).await.unwrap_err().to_string()
        };
        for (url, listed) in [
            ("https://localhost:1/", &[][..]),
            ("http://localhost:1/", &[]),
            ("https://127.0.0.1:1/", &[]),
            ("https://[::1]:1/", &["127.0.0.0/8"]),
            ("http://127.0.0.1:1/", &["10.0.0.0/8"]),
            ("http://1.1.1.1:1/", &["10.0.0.0/8"]),
            ("https://169.254.169.254/", &[]),
        ] {
            let said = ask(url, listed).await;
            assert!(said.contains("not listed in `allow_addresses`"), "{url}: {said}");
        }
        let said = ask("http://127.0.0.1:1/", &["127.0.0.0/8"]).await;
        assert!(said.contains("refused"), "{said}");
    }
}
