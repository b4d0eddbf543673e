//! Rows from settled offsets.
