//! pylock.toml (PEP 751): write, read, is it still true?
