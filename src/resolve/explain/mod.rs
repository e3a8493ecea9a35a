//! Why there is no solution, in plain words.
//!
//! The solver hands over a derivation tree: at its leaves facts (a requirement, a version that cannot be used), at its
//! nodes what follows from two causes. Facts that every reader takes for granted are left out; a short proof becomes one
//! sentence of its facts, a longer one a list of steps.

mod words;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use pubgrub::{DerivationTree, External, Map, Term};

use self::words::Words;
use super::Error;
use super::facts::Facts;
use super::package::{Package, Reason};
use super::ranges::VersionSet;

type Tree = DerivationTree<Package, VersionSet, Reason>;
type Terms = Map<Package, Term<VersionSet>>;

/// The most facts that fit into one sentence.
const SENTENCE: usize = 4;
/// The most steps that are shown; a proof that is longer is cut in the middle.
const STEPS: usize = 24;

/// The error for a derivation tree.
pub(crate) fn no_solution(facts: &Facts<'_>, tree: &Tree) -> Error {
    let words = Words::new(facts);
    let proof = Proof::new(tree);
    let leaves = proof.leaves();
    let explanation = if leaves.len() <= SENTENCE {
        let told: Vec<String> = in_order(&leaves).into_iter().map(|fact| words.fact(fact)).collect();
        let mut told = dedup(told);
        match told.pop() {
            None => "nothing is known about why".to_owned(),
            Some(last) if told.is_empty() => last,
            Some(last) => format!("because {}, and {last}", told.join(", ")),
        }
    } else {
        proof.steps(&words)
    };
    Error::NoSolution { target: facts.manifest.rules.target, explanation, hint: words.hint(&leaves) }
}

/// A leaf of the proof.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fact<'t> {
    /// Versions of a package require versions of another.
    Requires { parent: &'t Package, versions: &'t VersionSet, package: &'t Package, set: &'t VersionSet },
    /// Versions of a package cannot be used.
    Unusable { package: &'t Package, versions: &'t VersionSet, reason: &'t Reason },
    /// A package has no versions in a set.
    NoVersions { package: &'t Package, set: &'t VersionSet },
}

/// A node of the proof; causes come before what follows from them.
enum Node<'t> {
    Fact(Fact<'t>),
    Derived { terms: &'t Terms, causes: [usize; 2] },
}

/// The simplified derivation: nodes in an order in which each follows from earlier ones.
struct Proof<'t> {
    nodes: Vec<Node<'t>>,
    root: Option<usize>,
}

impl<'t> Proof<'t> {
    /// Flattens a tree without recursion, since trees may be deep, and without repeating what is shared.
    fn new(tree: &'t Tree) -> Self {
        let mut nodes = Vec::new();
        let mut done: HashMap<*const Tree, Option<usize>> = HashMap::new();
        let mut stack = vec![(tree, false)];
        while let Some((tree, causes_done)) = stack.pop() {
            let key = std::ptr::from_ref(tree);
            if done.contains_key(&key) {
                continue;
            }
            let place = match tree {
                DerivationTree::External(external) => fact(external).map(|fact| {
                    nodes.push(Node::Fact(fact));
                    nodes.len() - 1
                }),
                DerivationTree::Derived(derived) if causes_done => {
                    let place = |cause: &'t Arc<Tree>| done.get(&Arc::as_ptr(cause)).copied().flatten();
                    let causes = [place(&derived.cause1), place(&derived.cause2)];
                    combine(&mut nodes, &derived.terms, causes)
                }
                DerivationTree::Derived(derived) => {
                    stack.push((tree, true));
                    stack.push((&derived.cause2, false));
                    stack.push((&derived.cause1, false));
                    continue;
                }
            };
            done.insert(key, place);
        }
        let root = done.get(&std::ptr::from_ref(tree)).copied().flatten();
        Self { nodes, root }
    }

    /// The facts that the proof rests on, each once.
    fn leaves(&self) -> Vec<Fact<'t>> {
        let mut leaves: Vec<Fact<'t>> = Vec::new();
        for place in self.used() {
            if let Node::Fact(fact) = self.nodes[place]
                && !leaves.contains(&fact)
            {
                leaves.push(fact);
            }
        }
        leaves
    }

    /// The nodes that the conclusion rests on, in order.
    fn used(&self) -> BTreeSet<usize> {
        let mut used = BTreeSet::new();
        let mut stack: Vec<usize> = self.root.into_iter().collect();
        while let Some(place) = stack.pop() {
            if used.insert(place)
                && let Node::Derived { causes, .. } = self.nodes[place]
            {
                stack.extend(causes);
            }
        }
        used
    }

    /// The proof step by step. A step that builds on the one before it says so; one that builds on an earlier one names
    /// its number.
    fn steps(&self, words: &Words<'_>) -> String {
        let mut lines: Vec<String> = Vec::new();
        // What each derived node says, and the line that says it.
        let mut said: BTreeMap<usize, (String, Option<usize>)> = BTreeMap::new();
        for place in self.used() {
            let Node::Derived { terms, causes } = &self.nodes[place] else { continue };
            let conclusion = words.conclusion(terms);
            let same =
                causes.iter().find_map(|cause| said.get(cause).filter(|(text, _)| *text == conclusion));
            if let Some(same) = same.cloned() {
                said.insert(place, same);
                continue;
            }
            let before = lines.len();
            let mut follows = false;
            let mut premises = Vec::new();
            for cause in causes {
                match (&self.nodes[*cause], said.get(cause)) {
                    (Node::Fact(fact), _) => premises.push(words.fact(*fact)),
                    (Node::Derived { .. }, Some((_, Some(line)))) if *line == before && before > 0 => {
                        follows = true;
                    }
                    (Node::Derived { .. }, Some((text, Some(line)))) => {
                        premises.push(format!("{text} ({line})"));
                    }
                    (Node::Derived { .. }, Some((text, None))) => premises.push(text.clone()),
                    (Node::Derived { .. }, None) => {}
                }
            }
            let because = if follows { "and because" } else { "because" };
            let line = format!("{because} {}, {conclusion}", dedup(premises).join(" and "));
            lines.push(line);
            said.insert(place, (conclusion, Some(lines.len())));
        }
        let total = lines.len();
        let numbered = lines.into_iter().enumerate().map(|(index, line)| format!("({}) {line}", index + 1));
        if total <= STEPS {
            return numbered.collect::<Vec<_>>().join("\n");
        }
        let half = STEPS / 2;
        let mut shown: Vec<String> =
            numbered.enumerate().filter(|(i, _)| *i < half || *i >= total - half).map(|(_, l)| l).collect();
        shown.insert(half, format!("… {} more steps …", total - 2 * half));
        shown.join("\n")
    }
}

/// The fact of a leaf, unless every reader takes it for granted.
fn fact<'t>(external: &'t External<Package, VersionSet, Reason>) -> Option<Fact<'t>> {
    match external {
        External::NotRoot(..) => None,
        External::NoVersions(package, set) => Some(Fact::NoVersions { package, set }),
        External::Custom(package, versions, reason) => Some(Fact::Unusable { package, versions, reason }),
        // An extra comes with its distribution.
        External::FromDependencyOf(Package::Extra(name, _), _, Package::Base(base), _) if name == base => {
            None
        }
        External::FromDependencyOf(parent, versions, package, set) => {
            Some(Fact::Requires { parent, versions, package, set })
        }
    }
}

/// What follows from two causes; the other cause itself where one is taken for granted.
fn combine<'t>(nodes: &mut Vec<Node<'t>>, terms: &'t Terms, causes: [Option<usize>; 2]) -> Option<usize> {
    let (first, second) = match causes {
        [Some(first), Some(second)] if first != second => (first, second),
        [first, second] => return first.or(second),
    };
    // That nothing lies between the versions already excluded is no news. That a requirement matches nothing is.
    let is_gap = |gap: usize, other: usize| {
        matches!(nodes[gap], Node::Fact(Fact::NoVersions { .. }))
            && matches!(nodes[other], Node::Derived { .. })
    };
    if is_gap(first, second) {
        return Some(second);
    }
    if is_gap(second, first) {
        return Some(first);
    }
    nodes.push(Node::Derived { terms, causes: [first, second] });
    Some(nodes.len() - 1)
}

/// Facts in the order in which one leads to the next: what the user requires, and after it what is known about that.
fn in_order<'t>(leaves: &[Fact<'t>]) -> Vec<Fact<'t>> {
    let mut ordered = Vec::new();
    let mut open = vec![&Package::Root];
    let mut rest = leaves.to_vec();
    while let Some(next) = open.pop() {
        let about = |fact: &Fact<'t>| match fact {
            Fact::Requires { parent, .. } => parent.name() == next.name(),
            Fact::Unusable { package, .. } | Fact::NoVersions { package, .. } => {
                package.name() == next.name()
            }
        };
        let found = if *next == Package::Root {
            // One requirement at a time, so that what follows from it stands beside it.
            let position = rest.iter().position(about);
            if position.is_some() {
                open.push(next);
            }
            position.map(|position| rest.remove(position)).into_iter().collect()
        } else {
            rest.extract_if(.., |fact| about(fact)).collect::<Vec<_>>()
        };
        for fact in found {
            if let Fact::Requires { package, .. } = fact {
                open.push(package);
            }
            ordered.push(fact);
        }
    }
    ordered.extend(rest);
    ordered
}

/// The texts without repetitions.
fn dedup(texts: Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    texts.into_iter().filter(|text| seen.insert(text.clone())).collect()
}
