//! The demo service: a small shop in two builds, the candidate with seeded regressions.
