//! Several targets in one file: what they have in common is written once.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::Lock;
use crate::model::{Archive, ArchiveKind, PackageName, Pin, Target};

/// An entry of `[[packages]]`.
pub(super) struct Entry<'l> {
    /// What all targets of the entry agree on.
    pub(super) pin: &'l Pin,
    /// The targets that have it; none if it is all of them.
    pub(super) only: Vec<Target>,
    /// What any target depends on.
    pub(super) dependencies: BTreeSet<&'l PackageName>,
    /// The wheels of all targets, by file name.
    pub(super) archives: BTreeMap<&'l str, &'l Archive>,
}

/// A target's names and what it has of one name.
struct Member<'l> {
    lock: &'l Lock,
    pin: &'l Pin,
}

/// The entries, sorted by name: one a name where it reads back as it is for every target, otherwise one a target.
pub(super) fn entries(locks: &[Lock]) -> Vec<Entry<'_>> {
    let names: Vec<BTreeSet<&PackageName>> =
        locks.iter().map(|lock| lock.pins.iter().map(|pin| &pin.name).collect()).collect();
    let mut members: BTreeMap<&PackageName, Vec<(usize, Member<'_>)>> = BTreeMap::new();
    for (place, lock) in locks.iter().enumerate() {
        for pin in &lock.pins {
            members.entry(&pin.name).or_default().push((place, Member { lock, pin }));
        }
    }
    let mut entries = Vec::new();
    for members in members.into_values() {
        let dependencies: BTreeSet<_> = members.iter().flat_map(|(_, m)| &m.pin.dependencies).collect();
        let reads_back = members.iter().all(|(place, member)| {
            let own = dependencies.iter().filter(|name| names[*place].contains(**name)).copied();
            own.eq(&member.pin.dependencies) && members.iter().all(|(_, other)| agrees(member, other))
        });
        if reads_back {
            entries.extend(Entry::of(&members, locks.len()));
        } else {
            entries.extend(members.chunks(1).filter_map(|member| Entry::of(member, locks.len())));
        }
    }
    entries
}

impl<'l> Entry<'l> {
    fn of(members: &[(usize, Member<'l>)], targets: usize) -> Option<Self> {
        let (_, first) = members.first()?;
        let only = if members.len() < targets { members } else { &[] };
        Some(Self {
            pin: first.pin,
            only: only.iter().map(|(_, member)| member.lock.target).collect(),
            dependencies: members.iter().flat_map(|(_, member)| &member.pin.dependencies).collect(),
            archives: members
                .iter()
                .map(|(_, member)| (&*member.pin.archive.file_name, &member.pin.archive))
                .collect(),
        })
    }
}

/// Whether a target would find its own pin in an entry that has another target's as well.
fn agrees(own: &Member<'_>, other: &Member<'_>) -> bool {
    let (a, b) = (own.pin, other.pin);
    let same = (&a.version, &a.index, &a.direct_url, &a.requires_python, &a.built)
        == (&b.version, &b.index, &b.direct_url, &b.requires_python, &b.built);
    let wheel = if a.archive == b.archive {
        true
    } else if a.built.is_some() || a.direct_url.is_some() || a.archive.file_name == b.archive.file_name {
        false
    } else {
        let target = own.lock.target;
        match (fitness(&target, &a.archive), fitness(&target, &b.archive)) {
            (Some(own), Some(other)) => own < other,
            (Some(_), None) => true,
            (None, _) => false,
        }
    };
    same && wheel
}

/// How well an archive fits a target, the least being best; none if it does not, or is no wheel.
pub(super) fn fitness(target: &Target, archive: &Archive) -> Option<impl Ord + use<>> {
    let ArchiveKind::Wheel(wheel) = &archive.kind else { return None };
    Some((target.wheel_rank(wheel)?, Reverse(wheel.build.clone()), archive.file_name.clone()))
}
