//! Requirements and a target in, pinned distributions out; explains conflicts.
