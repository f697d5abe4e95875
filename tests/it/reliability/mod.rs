//! When things break: what callers see of it, and for how long.

mod endpoints;
mod outage;
mod retries;
