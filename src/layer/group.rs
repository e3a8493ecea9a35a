//! Which distributions share a layer.
//!
//! The rule knows the lock alone, so that every machine groups alike. Its aims: an image stays within its budget of
//! layers; what is large is a layer of its own and is never moved because of something else; and when one small
//! distribution changes, appears or goes, one group changes.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};

use super::InstalledFile;
use crate::model::{Digest, PackageName};

/// From this size of the archive on, a distribution stands alone if there is room: a megabyte or so is what a request
/// costs on a usual line.
pub const LARGE: u64 = 2 << 20;

/// How many groups the small ones share at most. Few, since every group is a request more for whoever pulls.
const GROUPS: usize = 8;

/// One group of this many is for distributions with compiled parts, so that images for several platforms have the layers
/// of the others in common.
const NATIVE_SHARE: usize = 4;

/// A distribution, as far as its layer depends on it.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// Its name.
    pub name: &'a PackageName,
    /// The size of its archive.
    pub size: u64,
    /// Whether the archive is the same on every platform.
    pub pure: bool,
}

/// Divides distributions into at most `budget` layers (at least one). Gives places in `items`, each once: the large ones
/// alone, in the order of `items`, then the groups, each in that order.
///
/// A small one's group follows from its own name, whether it is pure, and the budget; nothing that happens to others can
/// move it. Where more are large than there is room for, the smallest of those join the groups.
pub fn group(items: &[Item<'_>], budget: usize) -> Vec<Vec<usize>> {
    let groups = GROUPS.min(budget / 4).max(1);
    let native = groups / NATIVE_SHARE;
    let room = budget.saturating_sub(groups);
    let mut large: Vec<usize> = (0..items.len()).filter(|&i| items[i].size >= LARGE).collect();
    large.sort_by(|&a, &b| items[b].size.cmp(&items[a].size).then(items[a].name.cmp(items[b].name)));
    large.truncate(room);
    large.sort_unstable();

    let mut shared = vec![Vec::new(); groups];
    for (index, Item { name, pure, .. }) in items.iter().enumerate() {
        if large.binary_search(&index).is_err() {
            let place = match *pure || native == 0 {
                true => bucket(name, groups - native),
                false => groups - native + bucket(name, native),
            };
            shared[place].push(index);
        }
    }
    large.into_iter().map(|index| vec![index]).chain(shared).filter(|group| !group.is_empty()).collect()
}

/// The group of a name: its hash, scaled to the number of groups.
fn bucket(name: &PackageName, groups: usize) -> usize {
    let hash = Digest::of(name.to_string().as_bytes());
    let [a, b, c, d, ..] = *hash.as_bytes();
    ((u64::from(u32::from_be_bytes([a, b, c, d])) * groups as u64) >> 32) as usize
}

/// One path that two distributions write; the later one's file stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collision {
    /// The path in the image.
    pub path: String,
    /// The place of the one that is installed first.
    pub first: usize,
    /// The place of the one whose file stays.
    pub second: usize,
    /// Whether both write the same, so that nothing is lost.
    pub same: bool,
}

/// Finds the paths that several of the distributions write. `files` are theirs, in installation order.
pub fn collisions<L: Borrow<Vec<InstalledFile>>>(files: &[L]) -> Vec<Collision> {
    let mut owners: HashMap<&str, (usize, &InstalledFile)> = HashMap::new();
    let mut found = Vec::new();
    for (second, list) in files.iter().enumerate() {
        for file in list.borrow() {
            let Some((first, other)) = owners.insert(&file.path, (second, file)) else { continue };
            let same = (other.sha256, other.executable) == (file.sha256, file.executable);
            found.push(Collision { path: file.path.clone(), first, second, same });
        }
    }
    found
}

/// Parts those that collide, since no path may occur twice in a layer. They leave their `groups` for layers above all
/// others, so that the one that is installed later lies above the other; those that have nothing to do with each other
/// share these layers, of which there are as many as distributions write one path.
///
/// These layers count in the budget too: where there are so many that the groups do not fit in besides, what is left is
/// divided anew among as many as do, and at least one.
pub fn part_colliding(
    items: &[Item<'_>],
    groups: Vec<Vec<usize>>,
    collisions: &[Collision],
    budget: usize,
) -> Vec<Vec<usize>> {
    let mut pairs: Vec<(usize, usize)> = collisions.iter().map(|c| (c.second, c.first)).collect();
    pairs.sort_unstable();
    let mut levels: BTreeMap<usize, usize> = BTreeMap::new();
    for (second, first) in pairs {
        // Whatever is below `first` has been seen: pairs come in the order of installation.
        let above = *levels.entry(first).or_default() + 1;
        let level = levels.entry(second).or_default();
        *level = above.max(*level);
    }
    let mut above = vec![Vec::new(); levels.values().map(|level| level + 1).max().unwrap_or(0)];
    for (&item, &level) in &levels {
        above[level].push(item);
    }
    let stays = |item: &usize| !levels.contains_key(item);
    let mut parted: Vec<Vec<usize>> =
        groups.into_iter().map(|group| group.into_iter().filter(stays).collect()).collect();
    parted.retain(|group| !group.is_empty());
    if !above.is_empty() && parted.len() + above.len() > budget {
        let rest: Vec<usize> = (0..items.len()).filter(stays).collect();
        let left: Vec<Item<'_>> = rest.iter().map(|&item| items[item]).collect();
        let anew = group(&left, budget.saturating_sub(above.len()));
        parted = anew.into_iter().map(|group| group.into_iter().map(|at| rest[at]).collect()).collect();
    }
    parted.extend(above);
    parted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<PackageName> {
        (0..count).map(|i| format!("package-{i}").parse().unwrap()).collect()
    }

    fn grouped(names: &[PackageName], size: impl Fn(usize) -> u64, budget: usize) -> Vec<Vec<usize>> {
        let item = |(i, name)| Item { name, size: size(i), pure: i % 3 > 0 };
        group(&names.iter().enumerate().map(item).collect::<Vec<_>>(), budget)
    }

    #[test]
    fn what_is_for_one_platform_stays_apart() {
        let names = names(90);
        for group in grouped(&names, |_| 1000, 24) {
            assert!(group.iter().all(|i| i % 3 > 0) || group.iter().all(|i| i % 3 == 0), "{group:?}");
        }
    }

    #[test]
    fn everything_is_in_one_layer_and_the_budget_holds() {
        let names = names(300);
        for budget in [0, 1, 2, 5, 20, 60, 400] {
            let groups = grouped(&names, |i| (i as u64) << 14, budget);
            assert!(groups.len() <= budget.max(1), "{budget}: {}", groups.len());
            let mut all: Vec<usize> = groups.concat();
            all.sort_unstable();
            assert_eq!(all, (0..300).collect::<Vec<_>>());
            assert!(groups.iter().all(|group| group.is_sorted()));
        }
    }

    #[test]
    fn one_small_distribution_more_touches_one_group() {
        let names = names(101);
        let size = |i: usize| if i.is_multiple_of(10) { LARGE + i as u64 } else { 1000 };
        let before = grouped(&names[..100], size, 60);
        let after = grouped(&names, |i| if i == 100 { 1 } else { size(i) }, 60);
        let changed = before.iter().filter(|group| !after.contains(group)).count();
        assert!(changed <= 1, "{changed} groups changed");
        assert_eq!(before.iter().filter(|group| group.len() == 1).count(), 10);
    }

    #[test]
    fn those_that_write_one_path_lie_above_each_other_in_order() {
        let file = |path: &str, text: &str| InstalledFile {
            path: path.to_owned(),
            sha256: Digest::of(text.as_bytes()),
            executable: false,
        };
        let files = [
            vec![file("ns/__init__.py", ""), file("a", "1")],
            vec![file("b", "")],
            vec![file("a", "2")],
            vec![file("ns/__init__.py", ""), file("c", "1")],
            vec![file("c", "1")],
            vec![file("a", "2"), file("d", "")],
        ];
        let found = collisions(&files);
        let collision =
            |path: &str, first, second, same| Collision { path: path.to_owned(), first, second, same };
        assert_eq!(
            found,
            [
                collision("a", 0, 2, false),
                collision("ns/__init__.py", 0, 3, true),
                collision("c", 3, 4, true),
                collision("a", 2, 5, true),
            ]
        );
        let names = names(6);
        let items: Vec<_> = names.iter().map(|name| Item { name, size: 1, pure: true }).collect();
        let groups = vec![vec![2, 3], vec![1, 4, 5], vec![0]];
        let part = |collisions, budget| part_colliding(&items, groups.clone(), collisions, budget);
        assert_eq!(part(&found, 4), [vec![1], vec![0], vec![2, 3], vec![4, 5]]);
        assert_eq!(part(&[], 4), groups);
        assert_eq!(part(&[], 2), groups, "the groups alone are what they are");
    }

    #[test]
    fn those_that_collide_count_in_the_budget() {
        let names = names(300);
        let item = |(i, name)| Item { name, size: (i as u64) << 14, pure: i % 3 > 0 };
        let items: Vec<_> = names.iter().enumerate().map(item).collect();
        let groups = group(&items, 24);
        assert_eq!(groups.len(), 24);
        for (colliding, budget, expected) in
            [(40, 93, 64), (69, 93, 93), (80, 93, 93), (92, 93, 93), (93, 93, 94), (300, 93, 300)]
        {
            let one =
                |second: usize| Collision { path: "a".to_owned(), first: second - 1, second, same: true };
            let collisions: Vec<_> = (1..colliding).map(one).collect();
            let parted = part_colliding(&items, groups.clone(), &collisions, budget);
            assert_eq!(parted.len(), expected, "{colliding} that collide");
            let chain = &parted[expected - colliding..];
            assert!(
                chain.iter().enumerate().all(|(i, layer)| *layer == [i]),
                "in their order, above all others"
            );
            let mut all = parted.concat();
            all.sort_unstable();
            assert_eq!(all, (0..300).collect::<Vec<_>>());
        }
    }
}
