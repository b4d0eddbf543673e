//! Joins primary and candidate by captured offset into ClickHouse.
pub mod pair;
