//! Version specifiers as sets of versions (PEP 440).
//!
//! A set is a list of intervals over the total order of versions. That order does not follow the specifiers: `==1.0`
//! must hold `1.0+cpu`, `<1.0` must not hold `1.0a1`, `>1.0` must not hold `1.0.post1`. The bounds here say exactly
//! that, with two versions that nobody publishes as landmarks: the first and the last of all that share a release.

use std::ops::Bound;

use pep440_rs::{LocalSegment, Operator, Prerelease, Version, VersionSpecifier, VersionSpecifiers};
use pubgrub::Ranges;

/// A set of versions.
pub(crate) type VersionSet = Ranges<Version>;

/// The versions that satisfy all of the specifiers. `===` stands for every spelling of its version here; who knows
/// the published versions can tell spellings apart.
pub(crate) fn versions_of(specifiers: &VersionSpecifiers) -> VersionSet {
    let mut specifiers = specifiers.iter().map(versions_of_one);
    let first = specifiers.next().unwrap_or_else(VersionSet::full);
    specifiers.fold(first, |all, one| all.intersection(&one))
}

/// The versions that satisfy one specifier.
fn versions_of_one(specifier: &VersionSpecifier) -> VersionSet {
    let version = specifier.version().clone();
    match specifier.operator() {
        Operator::Equal => equal(version),
        Operator::NotEqual => equal(version).complement(),
        Operator::ExactEqual => VersionSet::singleton(version),
        Operator::EqualStar => same_prefix(&version),
        Operator::NotEqualStar => same_prefix(&version).complement(),
        Operator::TildeEqual => {
            let release = version.release();
            let prefix = Version::new(release[..release.len().saturating_sub(1).max(1)].iter().copied());
            let end = same_prefix(&prefix.with_epoch(version.epoch()));
            VersionSet::higher_than(version).intersection(&end)
        }
        Operator::GreaterThanEqual => VersionSet::higher_than(version),
        Operator::GreaterThan => VersionSet::strictly_higher_than(last_of(version)),
        Operator::LessThanEqual => VersionSet::lower_than(last_local(version)),
        Operator::LessThan => VersionSet::strictly_lower_than(first_of(version)),
    }
}

/// `==V`: V, and with every local part unless V has one itself.
fn equal(version: Version) -> VersionSet {
    if version.is_local() {
        VersionSet::singleton(version)
    } else {
        VersionSet::from_range_bounds(version.clone()..=last_local(version))
    }
}

/// `==V.*`: everything that begins with V, its pre-releases included.
fn same_prefix(version: &Version) -> VersionSet {
    let low = version.clone().with_dev(Some(0));
    let high = if let Some(post) = version.post() {
        low.clone().with_post(Some(post.saturating_add(1)))
    } else if let Some(Prerelease { kind, number }) = version.pre() {
        low.clone().with_pre(Some(Prerelease { kind, number: number.saturating_add(1) }))
    } else {
        let mut release = version.release().to_vec();
        if let Some(last) = release.last_mut() {
            *last = last.saturating_add(1);
        }
        low.clone().with_release(release)
    };
    VersionSet::between(low, high)
}

/// The end of V with every local part.
fn last_local(version: Version) -> Version {
    version.with_local(vec![LocalSegment::Number(u64::MAX)])
}

/// The beginning of V's own pre-releases; V itself if it is one.
fn first_of(version: Version) -> Version {
    if version.any_prerelease() { version } else { version.with_dev(Some(0)) }
}

/// The end of V's own post-releases and local versions; of the local versions only if V is a post-release.
fn last_of(version: Version) -> Version {
    if version.is_post() || version.is_dev() {
        last_local(version)
    } else {
        last_local(version.with_post(Some(u64::MAX)))
    }
}

/// Whether a set stands for one public version, as `==V` does.
pub(crate) fn is_one_version(set: &VersionSet) -> bool {
    let mut segments = set.iter();
    match (segments.next(), segments.next()) {
        (Some((Bound::Included(low), Bound::Included(high))), None) => {
            low == high || (high.is_local() && *low == high.clone().without_local())
        }
        _ => false,
    }
}

/// Whether a distribution with this `Requires-Python` may be chosen for `python`. As uv has it, only the lower bound
/// counts: an upper bound is a guess about the future, and honouring it leads to old releases that lack it.
pub(crate) fn python_is_new_enough(requires_python: &VersionSpecifiers, python: &Version) -> bool {
    match versions_of(requires_python).bounding_range() {
        Some((Bound::Unbounded, _)) => true,
        Some((Bound::Included(low), _)) => low <= python,
        Some((Bound::Excluded(low), _)) => low < python,
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(specifiers: &str, version: &str) -> bool {
        versions_of(&specifiers.parse().unwrap()).contains(&version.parse::<Version>().unwrap())
    }

    #[test]
    fn specifiers_hold_what_pep_440_says() {
        for (specifiers, inside, outside) in [
            ("==1.0", "1.0 1.0.0 1.0+cpu 1.0+9.z", "1.0.post1 1.0a1 1.0.dev0 1.1"),
            ("==1.0+cpu", "1.0+cpu", "1.0 1.0+gpu"),
            ("!=1.0", "1.0.post1 1.0a1 0.9", "1.0 1.0+cpu"),
            ("===1.0", "1.0", "1.0+cpu"),
            ("==1.1.*", "1.1 1.1.5 1.1a1 1.1.dev0 1.1.post1 1.1+x", "1.2.dev0 1.10 1.0.post1"),
            ("!=1.1.*", "1.2.dev0 1.0", "1.1a1 1.1.9+x"),
            ("~=2.2", "2.2 2.9 2.2.post1", "3.0.dev0 2.2rc1 2.1"),
            ("~=1.4.5a4", "1.4.5a4 1.4.5 1.4.9", "1.5.dev0 1.4.5a3"),
            ("~=1!2.2.0", "1!2.2.7", "2.2.7 1!2.3"),
            (">1.7", "1.7.1 1.8a1 1!0.1", "1.7 1.7.0.post1 1.7+x 1.7a1"),
            (">1.7.post2", "1.7.post3 1.7.post3.dev0 1.7.1", "1.7.post2 1.7.post2+x 1.7"),
            (">1.0a1", "1.0a2 1.0 1.0.post1", "1.0a1 1.0a1.post1 1.0a1+x"),
            (">1.0.dev1", "1.0.dev2 1.0a1 1.0", "1.0.dev1 1.0.dev1+x"),
            (">=1.0", "1.0 1.0+x 1.0.post1 1.1a1", "1.0a1 1.0.dev0"),
            ("<=1.0", "1.0 1.0+x 1.0a1", "1.0.post1 1.0.1.dev0"),
            ("<3.1", "3.0.9 3.0.dev0 3.0.post1", "3.1 3.1.dev0 3.1rc1 3.1+x"),
            ("<1.0a2", "1.0a1 1.0a2.dev0 0.9", "1.0a2 1.0"),
            ("<1.2.post1", "1.2 1.2a1 1.2+x", "1.2.post1.dev0 1.2.post1"),
            (">=1.2,<2,!=1.5", "1.2 1.9 1.6a1", "1.5 2.0a1 2.0"),
            ("", "0.0.1 1!7", ""),
        ] {
            for version in inside.split_whitespace() {
                assert!(holds(specifiers, version), "{specifiers} holds {version}");
            }
            for version in outside.split_whitespace() {
                assert!(!holds(specifiers, version), "{specifiers} does not hold {version}");
            }
        }
    }

    #[test]
    fn one_public_version_is_recognised() {
        for (specifiers, expected) in [
            ("==1.0", true),
            ("==1.0+cpu", true),
            ("===1.0", true),
            ("==1.0.*", false),
            ("", false),
            (">=1,<1.1", false),
        ] {
            assert_eq!(is_one_version(&versions_of(&specifiers.parse().unwrap())), expected, "{specifiers}");
        }
    }

    #[test]
    fn numbers_at_the_end_of_their_range_do_not_overflow() {
        let max = u64::MAX;
        assert!(!holds(&format!("==1.{max}.*"), "2.0"));
        assert!(!holds(&format!("~={max}.0"), "1.0"));
    }

    #[test]
    fn only_the_lower_bound_of_requires_python_counts() {
        let python = "3.11.0".parse().unwrap();
        for (requires_python, expected) in [
            (">=3.8", true),
            (">=3.8,<3.10", true),
            (">=3.11", true),
            (">=3.11.0rc1", true),
            (">3.10", true),
            ("!=3.11.*", true),
            ("==3.11.*", true),
            (">=3.12", false),
            (">3.11", false),
            (">=3.11.4", false),
        ] {
            let requires_python = requires_python.parse().unwrap();
            assert_eq!(python_is_new_enough(&requires_python, &python), expected, "{requires_python}");
        }
    }
}
