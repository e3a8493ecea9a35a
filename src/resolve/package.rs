//! What the solver solves for: packages, packages with one extra, and why a version cannot be used.

use std::fmt;

use pep508_rs::{ExtraName, PackageName};
use pubgrub::{Dependencies, DependencyProvider, PackageResolutionStatistics};

use super::priority::Priority;
use super::ranges::VersionSet;
use crate::model::{Timestamp, Version};

/// A node of the solver's graph.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Package {
    /// The user's requirements.
    Root,
    /// A distribution.
    Base(PackageName),
    /// One extra of a distribution: depends on exactly the same version of the distribution, and on what the extra
    /// adds.
    Extra(PackageName, ExtraName),
}

impl Package {
    /// The distribution's name; none for the root.
    pub(crate) fn name(&self) -> Option<&PackageName> {
        match self {
            Self::Root => None,
            Self::Base(name) | Self::Extra(name, _) => Some(name),
        }
    }

    /// The extra, if it is one.
    pub(crate) fn extra(&self) -> Option<&ExtraName> {
        match self {
            Self::Extra(_, extra) => Some(extra),
            Self::Root | Self::Base(_) => None,
        }
    }
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("your requirements"),
            Self::Base(name) => write!(f, "{name}"),
            Self::Extra(name, extra) => write!(f, "{name}[{extra}]"),
        }
    }
}

/// Why versions of a package cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Reason {
    /// No index has the package.
    UnknownPackage,
    /// There is no file at all.
    NoFiles,
    /// There is a source distribution, but no wheel.
    OnlySdist,
    /// There is a source distribution of a form that is no longer made.
    SdistFormat,
    /// Its wheels do not count, and it may not be built.
    NoBinary,
    /// There are wheels, but none for the target.
    NoFittingWheel,
    /// It needs a newer Python.
    Python(String),
    /// It was withdrawn by its maintainers.
    Yanked,
    /// It is a pre-release, and these are not allowed.
    Prerelease,
    /// No file has one of the hashes that the requirements ask for.
    Hash,
    /// It was uploaded after the time that the user names.
    TooNew(Timestamp),
    /// The index does not tell when it was uploaded, and the user names a time.
    NoUploadTime,
    /// Its metadata cannot be used.
    Metadata(String),
    /// A constraint excludes it; the constraint as text, with its origin.
    Constraint(String),
}

impl fmt::Display for Reason {
    /// What follows the versions, as in "a==1.0 HAS ONLY A SOURCE DISTRIBUTION".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownPackage => f.write_str("is not on any index"),
            Self::NoFiles => f.write_str("has no files"),
            Self::OnlySdist => f.write_str("has only a source distribution, no wheel"),
            Self::SdistFormat => {
                f.write_str("has only a source distribution that is neither .tar.gz nor .zip")
            }
            Self::NoBinary => {
                f.write_str("has wheels, which do not count (no-binary), and no source distribution")
            }
            Self::NoFittingWheel => f.write_str("has no wheel for the target"),
            Self::Python(specifiers) => write!(f, "requires Python {specifiers}"),
            Self::Yanked => f.write_str("was yanked"),
            Self::Prerelease => f.write_str("is a pre-release"),
            Self::Hash => f.write_str("has no wheel with one of the required hashes"),
            Self::TooNew(limit) => {
                write!(f, "was not published before {limit}, as you ask for (exclude-newer)")
            }
            Self::NoUploadTime => {
                f.write_str("has no time of upload on its index, so that it is left out (exclude-newer)")
            }
            Self::Metadata(why) => write!(f, "has unusable metadata ({why})"),
            Self::Constraint(text) => write!(f, "is excluded by the constraint {text}"),
        }
    }
}

/// Names the solver's types. The solver's state is driven step by step, so none of the methods is ever called.
pub(crate) struct Provider;

/// An error that cannot happen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Never {}

impl DependencyProvider for Provider {
    type P = Package;
    type V = Version;
    type VS = VersionSet;
    type Priority = Priority;
    type M = Reason;
    type Err = Never;

    fn prioritize(&self, _: &Package, _: &VersionSet, _: &PackageResolutionStatistics) -> Priority {
        unreachable!("the state is driven directly")
    }

    fn choose_version(&self, _: &Package, _: &VersionSet) -> Result<Option<Version>, Never> {
        unreachable!("the state is driven directly")
    }

    fn get_dependencies(
        &self,
        _: &Package,
        _: &Version,
    ) -> Result<Dependencies<Package, VersionSet, Reason>, Never> {
        unreachable!("the state is driven directly")
    }
}
