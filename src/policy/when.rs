//! `when`, `networks` and `mode` as written, compiled.

use std::net::IpAddr;
use std::time::SystemTime;

use ipnet::IpNet;
use jiff::tz::TimeZone;

use super::list::List;
use super::restriction::{DAY, DAYS, Days, Restricted, Restriction, Window};
use super::source::{WindowSource, Windows};
use super::{Mode, RuleId};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, SourceFile, Spanned, did_you_mean, quoted};
use crate::identity::parse_expiry;

/// The form of a time of the day, for editors.
pub(super) const TIME: &str = "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$";
/// The words for a mode.
pub(super) const MODES: [&str; 2] = ["enforce", "shadow"];
const EXAMPLE: &str = "write `{ days: [mon, fri], from: \"08:00\", to: \"18:00\", zone: Europe/Berlin }`";
/// More than that nobody reviews.
const MAX_WINDOWS: usize = 64;
const MAX_NETWORKS: usize = 1_024;

/// When and from where, as it is written for one role or tool.
pub(super) struct Written<'a> {
    pub(super) file: &'a SourceFile,
    pub(super) path: &'a str,
    pub(super) when: Option<&'a Windows>,
    pub(super) networks: Option<&'a List>,
    pub(super) mode: Mode,
}

/// Compiles it; problems go to `found`.
pub(super) fn compile(written: &Written<'_>, found: &mut Diagnostics) -> Option<Restriction> {
    let Written { file, path, when, networks, mode } = *written;
    let when = when.map(|list| Restricted {
        any_of: windows(file, list, found),
        rule: RuleId::at(file.name(), list.referenced.line, &format!("{path}.when")),
    });
    let networks = networks.map(|list| Restricted {
        any_of: all_networks(file, list, found),
        rule: RuleId::at(file.name(), list.at().line, &format!("{path}.networks")),
    });
    (when.is_some() || networks.is_some()).then_some(Restriction { when, networks, mode })
}

/// The mode that stands here, within what stands around it: in the shadow of a file everything is.
pub(super) fn mode(
    file: &SourceFile,
    written: Option<&Spanned<String>>,
    around: Mode,
    found: &mut Diagnostics,
) -> Mode {
    let Some(written) = written else {
        return around;
    };
    match (written.value.as_str(), around) {
        ("shadow", _) => Mode::Shadow,
        ("enforce", Mode::Enforce) => Mode::Enforce,
        ("enforce", Mode::Shadow) => {
            found.push(
                file.error(Code::UnknownMode, written.referenced, "this enforces nothing: the whole file is in shadow")
                    .help("delete it, or delete `mode: shadow` at the top and write it where it is meant"),
            );
            Mode::Shadow
        }
        (other, _) => {
            found.push(
                file.error(Code::UnknownMode, written.referenced, format!("unknown mode {}", quoted(other))).help(
                    did_you_mean(other, MODES).unwrap_or_else(|| {
                        "`enforce` refuses, which is what happens if nothing is said; `shadow` only records".to_owned()
                    }),
                ),
            );
            Mode::Enforce
        }
    }
}

/// What can never be used again is told.
pub(super) fn over(file: &SourceFile, list: &Windows, now: SystemTime, found: &mut Diagnostics) {
    let ends = list.value.iter().map(|window| {
        let until = window.value.until.as_ref()?;
        parse_expiry(&until.value).filter(|end| *end <= now).map(|end| (end, until.referenced))
    });
    let ends: Option<Vec<_>> = ends.collect();
    if let Some((_, at)) = ends.into_iter().flatten().max_by_key(|(end, _)| *end) {
        let message = if list.value.len() == 1 { "this is over" } else { "all these spans of time are over" };
        let help = "what stands here is open to nobody any more; delete it, or write a later `until`";
        found.push(file.warning(Code::WindowOver, at, message).help(help));
    }
}

fn windows(file: &SourceFile, list: &Windows, found: &mut Diagnostics) -> Vec<Window> {
    if list.value.is_empty() {
        found.push(
            file.error(Code::EmptyList, list.referenced, "`when` is empty")
                .help("delete it, or say when this can be used"),
        );
    }
    if list.value.len() > MAX_WINDOWS {
        let message = format!("more than {MAX_WINDOWS} spans of time");
        found.push(file.error(Code::TooLarge, list.referenced, message).help("write fewer, longer ones"));
        return Vec::new();
    }
    let mut read = Vec::new();
    for written in &list.value {
        match window(file, written) {
            Ok(window) => read.push(window),
            Err(problem) => found.push(*problem),
        }
    }
    read
}

fn window(file: &SourceFile, written: &Spanned<WindowSource>) -> Result<Window, Box<Diagnostic>> {
    let wrong = |at, message: &str, help: &str| Box::new(file.error(Code::InvalidWindow, at, message).help(help));
    let WindowSource { days, from, to, zone, after, until } = &written.value;
    if days.is_none() && from.is_none() && to.is_none() && after.is_none() && until.is_none() {
        return Err(wrong(written.referenced, "this says no time", EXAMPLE));
    }
    let days = days.as_ref().map_or(Ok(Days::ALL), |list| week(file, list))?;
    let (from, to) = match (from, to) {
        (None, None) => (0, DAY),
        (Some(from), Some(to)) => {
            let (begin, end) = (time(file, from)?, time(file, to)?);
            if begin == end || begin == DAY {
                let help = "leave both out for the whole day; a window over midnight ends before it begins";
                return Err(wrong(to.referenced, "this window has no minute", help));
            }
            (begin, if end < begin { end + DAY } else { end })
        }
        (Some(_), None) => return Err(wrong(written.referenced, "this window has no end: `to` is missing", EXAMPLE)),
        (None, Some(_)) => {
            return Err(wrong(written.referenced, "this window has no begin: `from` is missing", EXAMPLE));
        }
    };
    let zone = match zone {
        None => TimeZone::UTC,
        Some(name) => jiff::tz::db().get(&name.value).map_err(|_unknown| {
            let help = "name one of the IANA database, such as `Europe/Berlin`; without `zone` it is UTC";
            wrong(name.referenced, &format!("unknown time zone {}", quoted(&name.value)), help)
        })?,
    };
    let moment = |text: &Spanned<String>| {
        parse_expiry(&text.value).ok_or_else(|| {
            let help = "write a day such as `2027-06-01`, or a moment such as `2027-06-01T12:00:00Z`, in UTC";
            Box::new(
                file.error(Code::InvalidDate, text.referenced, format!("{} is no date", quoted(&text.value)))
                    .help(help),
            )
        })
    };
    let end = until.as_ref();
    let (after, until) = (after.as_ref().map(moment).transpose()?, end.map(moment).transpose()?);
    if let (Some(after), Some(until), Some(end)) = (after, until, end)
        && after >= until
    {
        return Err(wrong(end.referenced, "this window ends before it begins", "`until` is later than `after`"));
    }
    Ok(Window { days, from, to, zone, after, until })
}

fn week(file: &SourceFile, list: &List) -> Result<Days, Box<Diagnostic>> {
    let mut days = Days::NONE;
    for name in list.iter() {
        let Some((_, day)) = DAYS.iter().find(|(known, _)| *known == name.value) else {
            let message = format!("{} is no day of the week", quoted(name.value));
            let short = name.value.get(..3).unwrap_or_default().to_ascii_lowercase();
            let help = match DAYS.iter().find(|(known, _)| *known == short) {
                Some((meant, _)) => format!("did you mean `{meant}`?"),
                None => "there are mon, tue, wed, thu, fri, sat and sun".to_owned(),
            };
            return Err(Box::new(file.error(Code::InvalidWindow, name.referenced, message).help(help)));
        };
        days = days.with(*day);
    }
    if days == Days::NONE {
        let problem = file.error(Code::EmptyList, list.at(), "`days` is empty");
        return Err(Box::new(problem.help("leave it out for every day")));
    }
    Ok(days)
}

/// Minutes of the day; `24:00` is its end.
fn time(file: &SourceFile, written: &Spanned<String>) -> Result<i32, Box<Diagnostic>> {
    let digits = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
    let two = |text: &str| text.parse::<u8>().ok().filter(|_| digits(text));
    let read = written.value.split_once(':').and_then(|(hours, minutes)| Some((two(hours)?, two(minutes)?)));
    match read {
        Some((hours, minutes)) if (hours < 24 && minutes < 60) || (hours, minutes) == (24, 0) => {
            Ok(i32::from(hours) * 60 + i32::from(minutes))
        }
        _ => {
            let message = format!("{} is no time of the day", quoted(&written.value));
            let problem = file.error(Code::InvalidWindow, written.referenced, message);
            Err(Box::new(problem.help("write hours and minutes from \"00:00\" to \"24:00\"")))
        }
    }
}

fn all_networks(file: &SourceFile, list: &List, found: &mut Diagnostics) -> Vec<IpNet> {
    if list.is_empty() {
        found.push(
            file.error(Code::EmptyList, list.at(), "`networks` is empty")
                .help("delete it, or name networks such as `10.0.0.0/8`"),
        );
    }
    if list.iter().count() > MAX_NETWORKS {
        let message = format!("more than {MAX_NETWORKS} networks");
        found.push(file.error(Code::TooLarge, list.at(), message).help("name larger ones"));
        return Vec::new();
    }
    let mut read = Vec::new();
    for name in list.iter() {
        match network(name.value) {
            Ok(network) => read.push(network),
            Err(help) => {
                let message = format!("{} is no network", quoted(name.value));
                found.push(file.error(Code::InvalidNetwork, name.referenced, message).help(help));
            }
        }
    }
    read
}

/// Reads `10.0.0.0/8`, or one address; or says how to write it.
fn network(text: &str) -> Result<IpNet, String> {
    let usual = || "write an address and how many of its bits count, such as `10.0.0.0/8` or `fd00::/8`".to_owned();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address.to_canonical()));
    }
    let network: IpNet = text.parse().map_err(|_unreadable| usual())?;
    if network.addr().to_canonical() != network.addr() {
        return Err("an address of IPv4 is compared as such: write `10.0.0.0/8`, not `::ffff:10.0.0.0/104`".to_owned());
    }
    // What was meant by the bits that do not count, nobody knows.
    if network.trunc() != network {
        return Err(format!("did you mean `{}`?", network.trunc()));
    }
    Ok(network)
}
