//! When things break: what callers see of it, and for how long. What is a load is short in the test command, and has its full
//! size with `TOLLGATE_FULL=1`.
//!
//! | demand | what | where |
//! |---|---|---|
//! | R1, R2 | the end under load, and by two signals | `the_end` |
//! | R3–R5 | policies that change, cannot be read, are replaced in every way | `reloads`, `others` |
//! | R6–R8 | a server that goes, is a black hole, never answers | `outage`, `others` |
//! | R9 | what is sent again | `retries` |
//! | R10–R12 | heads, bodies and readers that are slow | `slow_peers`, `others` |
//! | R13 | streams on which nothing happens | `others`, `idle_streams` |
//! | R14 | a crowd that connects at once | `crowds` |
//! | R15 | no descriptors | `descriptors` |
//! | R16 | no memory, also in a control group | `memory` |
//! | R18 | a panic within a message, within its answer, within its record | `proxy/stack.rs`, `audit/writer.rs`, `telemetry/tests/panics.rs` |
//! | R19 | callers that go away | `disconnects` |
//! | R23 | a limits store that is gone | `others`, `limits_store` |
//! | R28 | a wall clock that jumps | `clocks` |
//! | R29 | a name that moves or fails | `names` |
//! | R33 | a cold start | `cold_start` |
//!
//! What is judged by memory or by processor time (R3, R13) is judged in optimised builds alone, with `TOLLGATE_FULL=1`: others are
//! neither small nor fast. Everything else of the two is judged in any build. Of R2, R6, R8, R14, R15 and R33 the times that are
//! demanded are judged in optimised builds; `TOLLGATE_PROGRAM` names one.
//!
//! Deadlines, each by its name, are in `deadlines`; that the kill switch counts within a second is in `kill_switch`.

mod cold_start;
mod crowds;
mod descriptors;
mod deadlines;
mod endpoints;
mod load;
mod memory;
mod names;
mod others;
mod outage;
mod reloads;
mod retries;
mod slow_peers;
mod the_end;
