//! The documented exit codes.

/// What the process ends with. Where several things failed, the lowest number wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ExitCode {
    /// Everything that was asked for was done.
    Done = 0,
    /// An internal error, or local input/output failed.
    Internal = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The project, its code or its base image is wrong.
    Project = 10,
    /// No set of distributions satisfies the requirements on the target.
    NoResolution = 11,
    /// The lock is stale.
    StaleLock = 12,
    /// Sources do not build.
    Build = 13,
    /// The index or the network failed.
    Index = 20,
    /// A registry failed or refused.
    Registry = 21,
    /// A hash or digest does not match, or an archive is hostile.
    Integrity = 30,
    /// Interrupted by the user.
    Interrupted = 130,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}
