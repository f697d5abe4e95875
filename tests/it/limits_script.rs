//! The script that counts in the store, by a clock that is turned by hand: what holds in a gate holds there.

use std::cell::RefCell;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use redis::{Client, Connection, Script};

use crate::support::store::Store;

const SCRIPT: &str = include_str!("../../src/limits/store/shared.lua");
const SECOND: u64 = 1_000_000;
const NOW: u64 = 1_800_000_000 * SECOND;

/// The script, and the time it goes by.
struct Counting {
    script: Script,
    connection: Connection,
}

/// What a call asks of one counter.
#[derive(Clone, Copy)]
struct Ask {
    counter: &'static str,
    most: u64,
    every: u64,
    amount: u64,
    burst: u64,
    mode: &'static str,
}

const CALL: Ask = Ask { counter: "a", most: 10, every: SECOND, amount: 1, burst: 0, mode: "enforce" };

impl Counting {
    fn at(store: &Store) -> Self {
        let by_hand = "{ math.floor(ARGV[#ARGV] / 1000000), ARGV[#ARGV] % 1000000 }";
        let text = SCRIPT.replace("redis.call('TIME')", by_hand);
        assert_ne!(text, SCRIPT, "the script asks for the time in one place");
        Self { script: Script::new(&text), connection: Client::open(store.url()).unwrap().get_connection().unwrap() }
    }

    /// In how long there is room under each, and how much was taken then.
    fn ask(&mut self, now: u64, lease: &str, asks: &[Ask]) -> Vec<(u64, u64)> {
        let mut call = self.script.prepare_invoke();
        call.arg(lease).arg(10 * SECOND);
        for ask in asks {
            call.key(ask.counter).arg(ask.most).arg(ask.every).arg(ask.amount).arg(ask.burst).arg(ask.mode);
        }
        let said: Vec<Vec<u64>> = call.arg(now).invoke(&mut self.connection).unwrap();
        said.iter().map(|said| (said[0], said[1..].iter().sum())).collect()
    }

    fn passes(&mut self, now: u64, ask: Ask) -> bool {
        self.ask(now, "", &[ask])[0].0 == 0
    }

    fn forget(&mut self) {
        redis::cmd("FLUSHALL").exec(&mut self.connection).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn never_is_more_let_through_in_any_span_than_was_said_and_there_is_room_when_it_was_told() {
    let store = Store::start().await;
    let counting = RefCell::new(Counting::at(&store));
    let asked = (1u64..20, 0u64..6, prop::collection::vec((0u64..3_000, 1u64..5), 1..60));
    let mut runner = TestRunner::new(Config { cases: 64, failure_persistence: None, ..Config::default() });
    let ran = runner.run(&asked, |(most, burst, asked)| {
        let (burst, every) = (if burst < most { burst } else { 0 }, SECOND);
        // As those that write limits may: a burst is of calls, which take one each.
        let call = |amount| Ask { most, every, amount: if burst > 0 { 1 } else { amount }, burst, ..CALL };
        let (mut now, mut taken) = (NOW, Vec::new());
        let mut counting = counting.borrow_mut();
        counting.forget();
        for (pause, amount) in asked {
            now += pause * pause / 10;
            let call = call(amount);
            if call.amount > most {
                prop_assert!(!counting.passes(now, call));
                continue;
            }
            let told = counting.ask(now, "", &[call])[0].0;
            if told > 0 {
                now += told;
                prop_assert!(counting.passes(now, call), "there is room when it was told");
            }
            taken.push((now, call.amount));
            let within = |span: u64| taken.iter().filter(|(at, _)| at + span > now).map(|(_, it)| it).sum::<u64>();
            prop_assert!(within(every) <= most, "{} of {most}", within(every));
            // Beside the burst itself, one for each time that one takes.
            let each = every / most;
            prop_assert!(burst == 0 || within(each) <= burst + 1, "{} of a burst of {burst}", within(each));
        }
        Ok(())
    });
    ran.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_put_back_gives_nobody_a_fresh_quota_and_locks_nobody_out() {
    let store = Store::start().await;
    let mut counting = Counting::at(&store);
    let call = Ask { most: 3, burst: 2, ..CALL };
    assert_eq!([0, 0, 0].map(|_| counting.passes(NOW, call)), [true, true, false], "a burst of two");
    let before = NOW - 3_600 * SECOND;
    assert!(!counting.passes(before, call), "what was taken counts as taken now");
    let after = before + SECOND + SECOND / 16;
    assert_eq!([0, 0, 0].map(|_| counting.passes(after, call)), [true, true, false], "and for no longer than that");

    let flight = Ask { counter: "f", most: 1, every: 0, ..CALL };
    assert_eq!(counting.ask(NOW, "x", &[flight])[0].0, 0);
    assert!(counting.ask(NOW, "y", &[flight])[0].0 > 0);
    assert_eq!(counting.ask(NOW + 11 * SECOND, "y", &[flight])[0].0, 0, "a lease that is not renewed is over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn room_is_taken_under_all_limits_or_none_and_what_is_only_tried_out_refuses_nothing() {
    let store = Store::start().await;
    let mut counting = Counting::at(&store);
    let (wide, one) = (Ask { counter: "w", ..CALL }, Ask { counter: "n", most: 1, ..CALL });
    let flight = Ask { counter: "f", most: 9, every: 0, ..CALL };
    let mut ask = |asks: &[Ask]| counting.ask(NOW, "x", asks);
    assert_eq!(ask(&[wide, one, flight]), [(0, 1), (0, 1), (0, 0)]);
    let refused = ask(&[wide, one, flight]);
    assert_eq!((refused[0], refused[1].1, refused[2].0), ((0, 1), 1, 0), "nothing was taken of the others");
    assert!(refused[1].0 > 0);
    let shadow = Ask { mode: "shadow", ..one };
    let tried = ask(&[wide, shadow]);
    assert_eq!((tried[0], tried[1].1), ((0, 2), 1), "it passes, and takes nothing of what had no room");
    let charge = Ask { mode: "charge", amount: 100, ..one };
    assert_eq!(ask(&[charge]), [(0, 101)], "what was taken already is counted, room or not");
    let ends = redis::cmd("PTTL").arg("w").query::<i64>(&mut counting.connection).unwrap();
    assert!((1_000..=2_100).contains(&ends), "nothing stays for ever: {ends}");
}
