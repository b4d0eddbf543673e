//! Comparison of two answers under rules: differences and their signatures.
