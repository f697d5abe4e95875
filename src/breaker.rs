//! Whether to ask a server at all that fails, or a store: closed, open, half-open.
//!
//! What nobody but the server can be blamed for opens it soon. Timeouts and broken connections may be one caller's doing,
//! who must not shut all others out: they only count where most calls of some time end so.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::clock;

/// When a server is left alone, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// After so many calls in a row that did not reach it.
    pub failures: u32,
    /// Or when so many of a hundred calls failed lately.
    pub percent: u32,
    /// For so long; then one call tries whether it answers again.
    pub pause: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { failures: 5, percent: 50, pause: Duration::from_millis(500) }
    }
}

/// Fewer calls than these say nothing about how many fail.
const LEAST: u32 = 20;
/// Calls that began longer ago are not counted.
const LATELY: Duration = Duration::from_secs(10);

/// What becomes of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// All are carried.
    #[default]
    Closed,
    /// None is.
    Open,
    /// One is, and decides how it goes on.
    HalfOpen,
}

/// How a call ended, as far as that says something about the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It answered.
    Answered,
    /// It was not reached, or says itself that it cannot.
    Unreached,
    /// It broke off, or was silent for too long.
    Failed,
}

/// The breaker of one server.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    state: Mutex<State>,
    phase: watch::Sender<Phase>,
}

/// A call that is carried.
#[derive(Debug)]
#[must_use]
pub struct Attempt<'a>(&'a Breaker);

#[derive(Debug)]
enum State {
    Closed(Lately),
    Open {
        until: Instant,
    },
    /// One call tries; or may, for the one before was given up without a word, or somebody else has seen an answer.
    HalfOpen {
        gives_up: Instant,
    },
}

/// How calls ended lately.
#[derive(Debug)]
struct Lately {
    since: Instant,
    asked: u32,
    failed: u32,
    unreached_in_a_row: u32,
}

/// A call that tries and never ends must not keep all others out.
const TRIAL: Duration = Duration::from_secs(10);

impl Breaker {
    pub fn new(settings: BreakerSettings, now: Instant) -> Self {
        Self { settings, state: Mutex::new(State::Closed(Lately::from(now))), phase: watch::Sender::default() }
    }

    /// A call may be carried now; else when to ask again.
    pub fn ask(&self, now: Instant) -> Result<Attempt<'_>, Duration> {
        let mut state = self.lock();
        match *state {
            State::Closed(_) => Ok(Attempt(self)),
            State::Open { until: wait } | State::HalfOpen { gives_up: wait } if now < wait => {
                Err(wait.saturating_duration_since(now).min(self.settings.pause))
            }
            State::Open { .. } | State::HalfOpen { .. } => {
                self.enter(&mut state, State::HalfOpen { gives_up: now + TRIAL });
                Ok(Attempt(self))
            }
        }
    }

    fn end(&self, ended: Ended, now: Instant) {
        let mut state = self.lock();
        let opens = match &mut *state {
            State::Closed(lately) => lately.end(ended, now, &self.settings),
            State::HalfOpen { .. } if ended == Ended::Answered => {
                return self.enter(&mut state, State::Closed(Lately::from(now)));
            }
            State::HalfOpen { .. } => true,
            // It was carried before.
            State::Open { .. } => false,
        };
        if opens {
            self.enter(&mut state, State::Open { until: now + self.settings.pause });
        }
    }

    /// Somebody else has seen the server answer: the next call may try.
    pub fn answers(&self, now: Instant) {
        let mut state = self.lock();
        if matches!(*state, State::Open { .. }) {
            self.enter(&mut state, State::HalfOpen { gives_up: now });
        }
    }

    /// Whether it fails, as far as anybody has seen. Then no call need try that can go elsewhere.
    pub fn is_suspect(&self, now: Instant) -> bool {
        match *self.lock() {
            State::Closed(_) => false,
            State::Open { .. } => true,
            State::HalfOpen { gives_up } => now < gives_up,
        }
    }

    /// What becomes of calls, now and at every change.
    pub fn phases(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    fn enter(&self, state: &mut State, next: State) {
        *state = next;
        let phase = match state {
            State::Closed(_) => Phase::Closed,
            State::Open { .. } => Phase::Open,
            State::HalfOpen { .. } => Phase::HalfOpen,
        };
        self.phase.send_replace(phase);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt<'_> {
    /// How it ended.
    pub fn end(self, ended: Ended, now: Instant) {
        self.0.end(ended, now);
    }
}

/// A caller that goes away leaves it to the next one to try.
impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let State::HalfOpen { gives_up } = &mut *self.0.lock() {
            *gives_up = clock::monotonic();
        }
    }
}

impl Lately {
    fn from(now: Instant) -> Self {
        Self { since: now, asked: 0, failed: 0, unreached_in_a_row: 0 }
    }

    /// Counts a call. Whether enough have failed.
    fn end(&mut self, ended: Ended, now: Instant, settings: &BreakerSettings) -> bool {
        if now.saturating_duration_since(self.since) > LATELY {
            let unreached_in_a_row = self.unreached_in_a_row;
            *self = Self { unreached_in_a_row, ..Self::from(now) };
        }
        self.asked = self.asked.saturating_add(1);
        match ended {
            Ended::Answered => self.unreached_in_a_row = 0,
            Ended::Unreached => {
                self.failed = self.failed.saturating_add(1);
                self.unreached_in_a_row = self.unreached_in_a_row.saturating_add(1);
            }
            Ended::Failed => self.failed = self.failed.saturating_add(1),
        }
        let most = u64::from(self.failed) * 100 >= u64::from(self.asked) * u64::from(settings.percent);
        self.unreached_in_a_row >= settings.failures || (ended != Ended::Answered && self.asked >= LEAST && most)
    }
}

impl Phase {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What happens, a character each: `+` a call that is answered, `0` one that does not reach the server, `!` one that
    /// fails otherwise, `-` one that is refused; `.` 100 ms pass, `?` the server is seen to answer.
    fn plays(script: &str) {
        let begin = clock::monotonic();
        let (breaker, mut now) = (Breaker::new(BreakerSettings::default(), begin), begin);
        for (at, step) in script.char_indices() {
            let place =
                || format!("{} | {}", script.get(..at).unwrap_or_default(), script.get(at..).unwrap_or_default());
            match step {
                '.' => now += Duration::from_millis(100),
                '?' => breaker.answers(now),
                '-' => assert!(breaker.ask(now).is_err(), "{}", place()),
                ended => {
                    let attempt = breaker.ask(now).unwrap_or_else(|_| panic!("{}", place()));
                    let ended = match ended {
                        '+' => Ended::Answered,
                        '0' => Ended::Unreached,
                        _ => Ended::Failed,
                    };
                    attempt.end(ended, now);
                }
            }
        }
    }

    #[test]
    fn it_opens_when_the_server_fails_and_closes_when_it_answers() {
        for script in [
            "00000-",                      // five in a row
            "0000+0000+0000+",             // never five in a row
            "00000-....-.+++",             // after 500 ms one call tries, and closes it
            "00000.....0-....-.0-",        // or opens it for as long again
            "00000-?+++",                  // somebody else has seen it answer
            "!!!!!!!!!!!!!!!!!!!!-",       // twenty that all fail otherwise
            "!!!!!!!!!!!!!!!!!!!+!",       // most of twenty, but only the next failure opens it
            "+++++++++++++++!!!!!!!!!!!!", // too few of too many
            "!+!+!+!+!+!+!+!+!+!+!-",      // half of them
        ] {
            plays(script);
        }
    }

    #[test]
    fn while_one_call_tries_the_others_wait() {
        let begin = clock::monotonic();
        let breaker = Breaker::new(BreakerSettings::default(), begin);
        (0..5).for_each(|_| breaker.end(Ended::Unreached, begin));
        let later = begin + Duration::from_millis(500);
        let attempt = breaker.ask(later).unwrap();
        assert_eq!(breaker.ask(later).map(drop), Err(Duration::from_millis(500)));
        drop(attempt);
        assert!(breaker.ask(clock::monotonic()).is_ok(), "its caller has gone away: the next one tries");
    }

    #[test]
    fn what_failed_long_ago_does_not_count() {
        let begin = clock::monotonic();
        let breaker = Breaker::new(BreakerSettings::default(), begin);
        (0..19).for_each(|_| breaker.end(Ended::Failed, begin));
        let later = begin + LATELY + Duration::from_secs(1);
        breaker.end(Ended::Failed, later);
        assert!(breaker.ask(later).is_ok());
    }
}
