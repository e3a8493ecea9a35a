//! The nouns that all rooms share: requirement and origin, target, digest, keys, records, exit codes.

mod building;
mod digest;
mod exit;
mod key;
mod origin;
mod pin;
mod requirement;
mod requirements_txt;
mod target;
mod time;
mod wheel;
mod words;

pub use building::{Building, BuildingError, Said};
pub use digest::{Digest, DigestError, Hasher, HashingReader, HashingWriter};
pub use exit::ExitCode;
pub use key::{Key, KeyHasher};
pub use origin::{Origin, Warning};
pub use pep440_rs::{Version, VersionSpecifiers};
pub use pep508_rs::{ExtraName, MarkerEnvironment, MarkerTree, PackageName};
pub use pin::{Archive, ArchiveKind, Built, BuiltFrom, Pin};
pub use requirement::{Credentials, Requirement, VersionOrUrl};
pub(crate) use requirements_txt::project_name;
pub use requirements_txt::{
    Locate, Reader, RequirementsTxt, RequirementsTxtError, Variables, parse_requirement,
    read_constraints_txt, read_requirements_txt,
};
pub use target::{Arch, Libc, Platform, PythonMinor, Target, TargetError};
pub use time::{Timestamp, TimestampError, rfc3339};
pub use wheel::{WheelName, WheelNameError};
pub use words::split_words;
