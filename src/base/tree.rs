//! The root file system that layers add up to, as far as it matters: directories, symbolic links, programs, and the few
//! other files that somebody asks about. Names and kinds only, never contents, within a fixed amount of memory.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::archive::Fault;
use super::probe::Facts;

/// The most symbolic links that one path may go through, as in Linux.
const MAX_LINKS: usize = 40;
/// The deepest directory.
const MAX_DEPTH: usize = 256;
/// The longest name of one file; Linux takes no longer one.
const MAX_NAME: usize = 255;
/// The memory that the tree may take: room for more than half a million files that matter.
const MAX_MEMORY: usize = 160 << 20;
/// What one file takes beside its name, as measured.
const NODE_MEMORY: usize = 192;

/// A file that matters.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct File {
    pub executable: bool,
    pub facts: Facts,
}

/// What stands at a path.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Directory(Children),
    Symlink(Box<[u8]>),
    /// Hard links share one.
    File(Rc<File>),
}

type Children = BTreeMap<Box<[u8]>, Slot>;

/// A node, and the layer that put it there last.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    layer: usize,
    node: Node,
}

/// A path inside the root, without links, `.` and `..`.
pub(super) type Canonical = Vec<Box<[u8]>>;

/// The tree. Layers are applied one after another, lowest first.
#[derive(Debug)]
pub(super) struct RootTree {
    root: Children,
    layer: usize,
    memory: usize,
    max_memory: usize,
}

impl RootTree {
    pub fn new() -> Self {
        Self { root: Children::new(), layer: 0, memory: 0, max_memory: MAX_MEMORY }
    }

    /// Begins the next layer: whiteouts from here on hide what is there now.
    pub fn begin_layer(&mut self) {
        self.layer += 1;
    }

    /// Puts a node at a path, as unpacking does: symbolic links in the way are followed inside the root, directories
    /// that lack are made, a directory on a directory keeps what is in it, anything else replaces what was there.
    pub fn insert(&mut self, path: &[&[u8]], node: Node) -> Result<(), Fault> {
        let Some((name, parent)) = path.split_last() else { return Ok(()) };
        let target = match &node {
            Node::Symlink(target) => target.len(),
            Node::File(file) => file.facts.memory(),
            Node::Directory(_) => 0,
        };
        Self::check_name(name)?;
        self.charge(name.len() + target)?;
        let layer = self.layer;
        let children = self.make_directory(parent)?;
        match children.get_mut(*name) {
            Some(slot @ Slot { node: Node::Directory(_), .. }) if matches!(node, Node::Directory(_)) => {
                slot.layer = layer;
            }
            _ => drop(children.insert((*name).into(), Slot { layer, node })),
        }
        Ok(())
    }

    /// Takes away what is at a path: something stands there now that does not matter.
    pub fn remove(&mut self, path: &[&[u8]]) -> Result<(), Fault> {
        if let Some((name, parent)) = path.split_last()
            && let Some(children) = self.children_mut(parent)?
        {
            children.remove(*name);
        }
        Ok(())
    }

    /// Hides what lower layers have at a path.
    pub fn whiteout(&mut self, path: &[&[u8]]) -> Result<(), Fault> {
        let layer = self.layer;
        if let Some((name, parent)) = path.split_last()
            && let Some(children) = self.children_mut(parent)?
            && children.get_mut(*name).is_some_and(|slot| !slot.keep_only(layer))
        {
            children.remove(*name);
        }
        Ok(())
    }

    /// Hides what lower layers have in a directory.
    pub fn opaque(&mut self, directory: &[&[u8]]) -> Result<(), Fault> {
        let layer = self.layer;
        if let Some(children) = self.children_mut(directory)? {
            children.retain(|_, slot| slot.keep_only(layer));
        }
        Ok(())
    }

    /// Makes `path` a hard link to what is at `target`.
    pub fn link(&mut self, path: &[&[u8]], target: &[&[u8]]) -> Result<(), Fault> {
        match self.get(target)? {
            Some(node @ (Node::File(_) | Node::Symlink(_))) => {
                let node = node.clone();
                self.insert(path, node)
            }
            // A file that does not matter, most likely.
            _ => self.remove(path),
        }
    }

    /// What a path leads to, all links followed; none if there is nothing, or nothing that matters.
    pub fn resolve(&self, path: &str) -> Option<(Canonical, &Node)> {
        let parts: Vec<_> = parts(path.as_bytes()).collect();
        let canonical = self.canonical(&parts)?;
        let node = self.at(&canonical)?;
        Some((canonical, node))
    }

    /// The names in a directory, links followed, with its canonical path.
    pub fn list<'t>(
        &'t self,
        directory: &str,
    ) -> Option<(Canonical, impl Iterator<Item = &'t str> + use<'t>)> {
        let parts: Vec<_> = parts(directory.as_bytes()).collect();
        let canonical = self.canonical(&parts)?;
        let children = self.children(&canonical)?;
        Some((canonical, children.keys().filter_map(|name| std::str::from_utf8(name).ok())))
    }

    /// The symbolic links that lead to directories, with where each leads: at most `limit`, the shallowest first.
    pub fn directory_links(&self, limit: usize) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let mut level: Vec<(String, &Children)> = vec![(String::new(), &self.root)];
        while !level.is_empty() {
            let mut next = Vec::new();
            for (folder, children) in level {
                for (name, slot) in children {
                    let Ok(name) = std::str::from_utf8(name) else { continue };
                    let path = format!("{folder}/{name}");
                    match &slot.node {
                        Node::Directory(children) => next.push((path, children)),
                        Node::Symlink(_) if found.len() < limit => {
                            if let Some((canonical, Node::Directory(_))) = self.resolve(&path)
                                && let Some(target) = absolute(&canonical)
                            {
                                found.insert(path, target);
                            }
                        }
                        Node::Symlink(_) | Node::File(_) => {}
                    }
                }
            }
            // What lies deeper has longer paths: nobody works there.
            level = if found.len() < limit { next } else { Vec::new() };
        }
        found
    }

    /// The node at a path whose last part is not followed.
    fn get(&self, path: &[&[u8]]) -> Result<Option<&Node>, Fault> {
        let Some((name, parent)) = path.split_last() else { return Ok(None) };
        let parent = self.canonical(parent).ok_or_else(Self::cycle)?;
        Ok(self.children(&parent).and_then(|children| children.get(*name)).map(|slot| &slot.node))
    }

    /// The path with every link followed, inside the root; of what does not exist, the path where it would be. None if
    /// there are too many links.
    fn canonical(&self, path: &[&[u8]]) -> Option<Canonical> {
        // What is left to walk, the next part last.
        let mut left: Vec<&[u8]> = path.iter().rev().copied().collect();
        // Where the walk is: the parts, and the directory at each that exists.
        let mut done: Vec<(&[u8], Option<&Children>)> = Vec::new();
        let mut links = 0;
        while let Some(part) = left.pop() {
            if part == b".." {
                done.pop();
                continue;
            }
            let here = done.last().map_or(Some(&self.root), |(_, children)| *children);
            match here.and_then(|children| children.get(part)).map(|slot| &slot.node) {
                Some(Node::Symlink(target)) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return None;
                    }
                    if target.starts_with(b"/") {
                        done.clear();
                    }
                    let at = left.len();
                    left.extend(parts(target));
                    left[at..].reverse();
                }
                Some(Node::Directory(children)) => done.push((part, Some(children))),
                Some(Node::File(_)) | None => done.push((part, None)),
            }
        }
        Some(done.into_iter().map(|(part, _)| part.into()).collect())
    }

    fn at(&self, canonical: &[Box<[u8]>]) -> Option<&Node> {
        let (name, parent) = canonical.split_last()?;
        Some(&self.children(parent)?.get(name)?.node)
    }

    fn children(&self, canonical: &[Box<[u8]>]) -> Option<&Children> {
        canonical.iter().try_fold(&self.root, |children, part| match &children.get(part)?.node {
            Node::Directory(children) => Some(children),
            _ => None,
        })
    }

    fn children_mut(&mut self, directory: &[&[u8]]) -> Result<Option<&mut Children>, Fault> {
        let canonical = self.canonical(directory).ok_or_else(Self::cycle)?;
        Ok(canonical.iter().try_fold(&mut self.root, |children, part| {
            match &mut children.get_mut(part)?.node {
                Node::Directory(children) => Some(children),
                _ => None,
            }
        }))
    }

    /// The directory at a path, made if need be.
    fn make_directory(&mut self, path: &[&[u8]]) -> Result<&mut Children, Fault> {
        let canonical = self.canonical(path).ok_or_else(Self::cycle)?;
        if canonical.len() >= MAX_DEPTH {
            return Err(Fault::Refused("a path is deeper than an honest one".into()));
        }
        canonical.iter().try_for_each(|part| Self::check_name(part))?;
        // How many of its directories lack is known only on the way; all of them is few enough to charge.
        if self.children(&canonical).is_none() {
            self.charge(canonical.iter().map(|part| part.len() + NODE_MEMORY).sum())?;
        }
        let layer = self.layer;
        let mut children = &mut self.root;
        for part in canonical {
            let slot = children
                .entry(part)
                .or_insert_with(|| Slot { layer, node: Node::Directory(Children::new()) });
            if !matches!(slot.node, Node::Directory(_)) {
                *slot = Slot { layer, node: Node::Directory(Children::new()) };
            }
            let Node::Directory(inner) = &mut slot.node else { unreachable!("made a directory above") };
            children = inner;
        }
        Ok(children)
    }

    fn check_name(name: &[u8]) -> Result<(), Fault> {
        if name.len() > MAX_NAME {
            return Err(Fault::Refused("a file's name is longer than Linux takes".into()));
        }
        Ok(())
    }

    fn charge(&mut self, bytes: usize) -> Result<(), Fault> {
        self.memory += bytes + NODE_MEMORY;
        if self.memory > self.max_memory {
            return Err(Fault::Refused("there are more files in the image than can be looked at".into()));
        }
        Ok(())
    }

    fn cycle() -> Fault {
        Fault::Refused("a path goes through more symbolic links than Linux takes".into())
    }
}

impl Slot {
    /// Takes away what is not of this layer; whether anything is left.
    fn keep_only(&mut self, layer: usize) -> bool {
        // Directories are at most `MAX_DEPTH` deep, so this ends.
        if let Node::Directory(children) = &mut self.node {
            children.retain(|_, slot| slot.keep_only(layer));
            return self.layer == layer || !children.is_empty();
        }
        self.layer == layer
    }
}

/// The parts of a path; `..` is one of them, `.` and empty ones are not.
pub(super) fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|part| !part.is_empty() && *part != b".")
}

/// A canonical path as text, from the root.
pub(super) fn absolute(path: &[Box<[u8]>]) -> Option<String> {
    path.iter().try_fold(String::new(), |text, part| Some(text + "/" + std::str::from_utf8(part).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(entries: &[(&str, Option<&str>)]) -> RootTree {
        let mut tree = RootTree::new();
        tree.begin_layer();
        for (path, link) in entries {
            let node = match link {
                Some(target) => Node::Symlink(target.as_bytes().into()),
                None => Node::File(Rc::new(File { executable: true, facts: Facts::default() })),
            };
            tree.insert(&parts(path.as_bytes()).collect::<Vec<_>>(), node).unwrap();
        }
        tree
    }

    fn resolved(tree: &RootTree, path: &str) -> Option<String> {
        absolute(&tree.resolve(path)?.0)
    }

    #[test]
    fn links_are_followed_inside_the_root_only() {
        let tree = tree(&[
            ("usr/bin/python3.11", None),
            ("bin", Some("usr/bin")),
            ("usr/bin/python3", Some("/etc/alternatives/python3")),
            ("etc/alternatives/python3", Some("../../../../../bin/./python3.11")),
            ("sbin", Some("/bin")),
        ]);
        for path in ["/usr/bin/python3", "/bin/python3", "/sbin/../bin/python3", "sbin/python3.11"] {
            assert_eq!(resolved(&tree, path).as_deref(), Some("/usr/bin/python3.11"), "{path}");
        }
        assert_eq!(resolved(&tree, "/usr/bin/python3.11/x"), None);
        assert_eq!(resolved(&tree, "/usr/bin/none"), None);
    }

    #[test]
    fn cycles_and_chains_end() {
        let mut tree = tree(&[("a", Some("b")), ("b", Some("a")), ("self", Some("self/self"))]);
        assert_eq!(resolved(&tree, "/a"), None);
        assert_eq!(resolved(&tree, "/self"), None);
        let file = Node::Directory(Children::new());
        assert!(matches!(tree.insert(&[b"a", b"x"], file), Err(Fault::Refused(_))));
    }

    #[test]
    fn memory_and_depth_are_bounded() {
        let mut tree = RootTree { max_memory: 1000, ..RootTree::new() };
        let added = (0..100).take_while(|n| {
            tree.insert(&[format!("{n}").as_bytes()], Node::Directory(Children::new())).is_ok()
        });
        assert_eq!(added.count(), 5);
        let deep = vec![&b"d"[..]; MAX_DEPTH + 1];
        assert!(RootTree::new().insert(&deep, Node::Directory(Children::new())).is_err());
        let long = [&[b'n'; MAX_NAME + 1][..], b"x"];
        assert!(RootTree::new().insert(&long, Node::Directory(Children::new())).is_err());
    }
}
