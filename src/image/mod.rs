//! Image config, manifest and labels.
