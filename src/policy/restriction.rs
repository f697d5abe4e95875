//! When and from where a grant or a tool can be used: `when` and `networks`. Total: what cannot be told is no.

use std::fmt;
use std::net::IpAddr;
use std::time::SystemTime;

use ipnet::IpNet;
use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use super::query::Context;
use super::{Mode, Reason, RuleId};

/// All of it must hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Restriction {
    /// One of these holds.
    pub(super) when: Option<Restricted<Window>>,
    /// The caller is in one of these.
    pub(super) networks: Option<Restricted<IpNet>>,
    pub(super) mode: Mode,
}

/// What one key says, and where it stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Restricted<T> {
    pub(super) any_of: Vec<T>,
    pub(super) rule: RuleId,
}

/// A span of time, or one that comes again every week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) days: Days,
    /// Minutes of the day, from the first to the one that is not in any more. `to` is not before `from`: a window over
    /// midnight has one of more than a day.
    pub(super) from: i32,
    pub(super) to: i32,
    pub(super) zone: TimeZone,
    pub(super) after: Option<SystemTime>,
    pub(super) until: Option<SystemTime>,
}

/// Days of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Days(u8);

pub(super) const DAY: i32 = 24 * 60;

impl Restriction {
    /// What does not hold, and where that is written.
    pub(super) fn broken(&self, context: &Context) -> Option<(Reason, &RuleId)> {
        let when = self.when.as_ref().filter(|when| !when.any_of.iter().any(|window| window.holds(context.at)));
        if let Some(when) = when {
            return Some((Reason::OutsideHours, &when.rule));
        }
        // A caller over IPv4 is the same caller on a socket that listens for both.
        let from: IpAddr = context.from.to_canonical();
        let within = |nets: &Restricted<IpNet>| nets.any_of.iter().any(|net| net.contains(&from));
        let outside = self.networks.as_ref().filter(|nets| !within(nets))?;
        Some((Reason::OutsideNetworks, &outside.rule))
    }
}

impl Window {
    fn holds(&self, at: SystemTime) -> bool {
        if self.after.is_some_and(|after| at < after) || self.until.is_some_and(|until| at >= until) {
            return false;
        }
        let Ok(at) = Timestamp::try_from(at) else {
            return false;
        };
        // The wall clock in the zone: an hour that comes twice in autumn counts twice, one that spring leaves out never.
        let local = self.zone.to_datetime(at);
        let minute = i32::from(local.hour()) * 60 + i32::from(local.minute());
        let (today, yesterday) = (local.weekday(), local.weekday().previous());
        let in_todays = self.days.has(today) && (self.from..self.to).contains(&minute);
        let in_yesterdays = self.days.has(yesterday) && minute + DAY < self.to;
        in_todays || in_yesterdays
    }
}

impl fmt::Display for Window {
    /// `mon, tue 08:00-18:00 Europe/Berlin, until 2027-06-01T00:00:00Z`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let days: Vec<_> = DAYS.iter().filter(|(_, day)| self.days.has(*day)).map(|(name, _)| *name).collect();
        if self.days != Days::ALL {
            parts.push(days.join(", "));
        }
        if (self.from, self.to) != (0, DAY) {
            let to = if self.to > DAY { self.to - DAY } else { self.to };
            parts.push(format!("{:02}:{:02}-{:02}:{:02}", self.from / 60, self.from % 60, to / 60, to % 60));
        }
        if !parts.is_empty() {
            parts.push(self.zone.iana_name().unwrap_or("UTC").to_owned());
        }
        let ends = [("after", self.after), ("until", self.until)];
        for (word, moment) in ends.into_iter().filter_map(|(word, moment)| Some((word, moment?))) {
            parts.push(format!("{word} {}", Timestamp::try_from(moment).unwrap_or_default()));
        }
        f.write_str(&parts.join(" "))
    }
}

/// The days of the week, as they are written.
pub(super) const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

impl Days {
    pub(super) const NONE: Self = Self(0);
    pub(super) const ALL: Self = Self(0b0111_1111);

    pub(super) fn with(self, day: Weekday) -> Self {
        Self(self.0 | 1 << day.to_monday_zero_offset())
    }

    /// Whether the others have them all.
    pub(super) fn within(self, others: Self) -> bool {
        self.0 & !others.0 == 0
    }

    pub(super) fn has(self, day: Weekday) -> bool {
        self.0 & 1 << day.to_monday_zero_offset() != 0
    }
}

#[cfg(test)]
mod tests {
    use crate::identity::Principal;
    use crate::mcp::{Method, ServerName, Target};
    use crate::policy::{Context, Effect, PolicySet, Query, Reason};

    /// What is said to a call at this moment from this address.
    fn asked(restriction: &str, at: &str, from: &str) -> Effect {
        let policy = format!("roles: {{ reader: {{ tools: [a], {restriction} }} }}\n");
        let context = Context {
            at: at.parse::<jiff::Timestamp>().unwrap().into(),
            from: from.parse().unwrap(),
            shown: crate::policy::Shown::NotYet,
        };
        let (principal, server) = (Principal::for_test("alice", &["reader"]), ServerName::new("records").unwrap());
        let (method, target) = (Method::ToolsCall, Target::Tool("a"));
        let query = Query { principal: &principal, server: &server, method, target, context };
        PolicySet::for_test(&policy).decide(&query).effect
    }

    #[test]
    fn a_grant_holds_in_its_hours_on_the_clock_of_its_zone() {
        let office = r#"when: [{ days: [mon, fri], from: "08:00", to: "18:00", zone: Europe/Berlin }]"#;
        let night = r#"when: [{ days: [fri], from: "22:00", to: "06:00", zone: Europe/Berlin }]"#;
        let evening = r#"when: [{ days: [fri], from: "18:00", to: "24:00" }]"#;
        let trial = "when: [{ after: 2026-11-01, until: 2026-11-20T12:00:00Z }]";
        let either = r#"when: [{ days: [sat] }, { days: [sun], from: "00:00", to: "12:00" }]"#;
        for (when, at, open) in [
            // 2026-11-20 is a Friday; Berlin is an hour ahead of UTC in winter, two in summer.
            (office, "2026-11-20T06:59:59Z", false),
            (office, "2026-11-20T07:00:00Z", true),
            (office, "2026-11-20T16:59:59Z", true),
            (office, "2026-11-20T17:00:00Z", false),
            (office, "2026-11-19T12:00:00Z", false),
            (office, "2026-07-17T06:00:00Z", true),
            (office, "2026-07-17T05:59:59Z", false),
            (night, "2026-11-20T21:00:00Z", true),
            (night, "2026-11-20T20:59:59Z", false),
            (night, "2026-11-21T04:59:59Z", true),
            (night, "2026-11-21T05:00:00Z", false),
            // Early on Friday is Thursday's night.
            (night, "2026-11-20T03:00:00Z", false),
            (evening, "2026-11-20T23:59:59Z", true),
            (evening, "2026-11-21T00:00:00Z", false),
            (trial, "2026-10-31T23:59:59Z", false),
            (trial, "2026-11-01T00:00:00Z", true),
            (trial, "2026-11-20T11:59:59Z", true),
            (trial, "2026-11-20T12:00:00Z", false),
            (either, "2026-11-21T23:00:00Z", true),
            (either, "2026-11-22T11:59:00Z", true),
            (either, "2026-11-22T12:00:00Z", false),
        ] {
            let expected = if open { Effect::Allow } else { Effect::Deny(Reason::OutsideHours) };
            assert_eq!(asked(when, at, "127.0.0.1"), expected, "{when} at {at}");
        }
    }

    #[test]
    fn an_hour_that_comes_twice_counts_twice_and_one_that_never_comes_never() {
        let hour = r#"when: [{ from: "02:00", to: "03:00", zone: Europe/Berlin }]"#;
        for (at, open) in [
            ("2026-10-25T00:30:00Z", true),
            ("2026-10-25T01:30:00Z", true),
            ("2026-10-25T02:30:00Z", false),
            ("2026-03-29T00:59:59Z", false),
            ("2026-03-29T01:00:00Z", false),
        ] {
            assert_eq!(asked(hour, at, "127.0.0.1") == Effect::Allow, open, "{at}");
        }
    }

    #[test]
    fn a_grant_holds_from_its_networks() {
        let networks = "networks: [10.0.0.0/8, 192.0.2.7, \"fd00::/8\"]";
        for (from, open) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("::ffff:10.0.0.1", true),
            ("fd12::1", true),
            ("fe80::1", false),
        ] {
            let expected = if open { Effect::Allow } else { Effect::Deny(Reason::OutsideNetworks) };
            assert_eq!(asked(networks, "2026-11-20T12:00:00Z", from), expected, "{from}");
        }
    }
}
