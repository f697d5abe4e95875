//! What operators see of calls, by the means that they use: a collector, a scraper, the log.

mod collector_down;
mod conventions;
mod documented;
mod lines;
mod streams;
