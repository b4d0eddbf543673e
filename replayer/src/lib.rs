//! Replays captured exchanges against the candidate, paced, guarded and accounted for.
