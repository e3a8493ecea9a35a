//! Where distributions come from: the Simple API, metadata, range requests, candidates.
