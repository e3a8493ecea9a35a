//! Fragments and layers: deterministic tar, the gzip splice, grouping.
