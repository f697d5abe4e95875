//! When things break: what callers see of it, and for how long. What is a load is short in the test command, and has its full
//! size with `TOLLGATE_FULL=1`.

mod cold_start;
mod crowds;
mod descriptors;
mod deadlines;
mod endpoints;
mod load;
mod memory;
mod others;
mod outage;
mod reloads;
mod retries;
mod slow_peers;
mod the_end;
