//! Decisions, case by case.
