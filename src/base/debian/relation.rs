//! Relations between packages: `Depends: libc6 (>= 2.36), awk | mawk`.

use std::cmp::Ordering;

use super::version;

/// A relation to one package: its name, and perhaps versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Relation {
    pub name: String,
    pub version: Option<(Operator, String)>,
}

/// How a version compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Earlier,
    EarlierOrEqual,
    Equal,
    LaterOrEqual,
    Later,
}

impl Relation {
    /// Whether a package of this version satisfies the relation, its name being right.
    pub fn allows(&self, version: &str) -> bool {
        let Some((operator, bound)) = &self.version else { return true };
        let order = version::compare(version, bound);
        match operator {
            Operator::Earlier => order == Ordering::Less,
            Operator::EarlierOrEqual => order != Ordering::Greater,
            Operator::Equal => order == Ordering::Equal,
            Operator::LaterOrEqual => order != Ordering::Less,
            Operator::Later => order == Ordering::Greater,
        }
    }

    /// Whether a name that some package provides, perhaps in a version, satisfies the relation.
    pub fn allows_provided(&self, provided: &Relation) -> bool {
        provided.name == self.name
            && (self.version.is_none()
                || provided.version.as_ref().is_some_and(|(_, version)| self.allows(version)))
    }

    fn parse(text: &str) -> Option<Self> {
        let (name, rest) = match text.find(['(', '[', '<']) {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        // `name:any` asks for what runs here: every package in reach does.
        let name = name.trim().split(':').next().unwrap_or_default();
        if !is_name(name) {
            return None;
        }
        let version =
            rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map(|(inside, _)| inside.trim());
        let version = match version {
            None => None,
            Some(text) => {
                let operators = [
                    ("<<", Operator::Earlier),
                    ("<=", Operator::EarlierOrEqual),
                    (">=", Operator::LaterOrEqual),
                    (">>", Operator::Later),
                    ("=", Operator::Equal),
                    // Obsolete forms, which meant the same as `<=` and `>=`.
                    ("<", Operator::EarlierOrEqual),
                    (">", Operator::LaterOrEqual),
                ];
                let found = operators.iter().find_map(|(sign, operator)| {
                    text.strip_prefix(sign).map(|version| (*operator, version.trim().to_owned()))
                });
                Some(found.filter(|(_, version)| !version.is_empty())?)
            }
        };
        Some(Self { name: name.to_owned(), version })
    }
}

impl std::fmt::Display for Relation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        let Some((operator, version)) = &self.version else { return Ok(()) };
        let sign = match operator {
            Operator::Earlier => "<<",
            Operator::EarlierOrEqual => "<=",
            Operator::Equal => "=",
            Operator::LaterOrEqual => ">=",
            Operator::Later => ">>",
        };
        write!(f, " ({sign} {version})")
    }
}

/// Whether a text is a package's name: it becomes part of paths.
pub(super) fn is_name(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+.-".contains(c);
    text.len() >= 2
        && text.len() <= 200
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.chars().all(legal)
}

/// A field of relations: each of the outer list must be satisfied by one of the alternatives in it. What cannot be read
/// is an error that repeats it.
pub(super) fn parse(field: &str) -> Result<Vec<Vec<Relation>>, String> {
    let groups = field.split(',').map(str::trim).filter(|group| !group.is_empty());
    groups
        .map(|group| {
            let alternatives = group.split('|').map(|text| Relation::parse(text.trim()));
            alternatives.collect::<Option<Vec<_>>>().ok_or_else(|| group.chars().take(100).collect())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations_are_read_and_compared() {
        let parsed = parse("libc6 (>= 2.36), awk | mawk:any (<< 2) [amd64] <!nocheck>,").unwrap();
        assert_eq!(parsed.len(), 2);
        assert_eq!(parsed[0][0].to_string(), "libc6 (>= 2.36)");
        assert_eq!(parsed[1].iter().map(|r| &*r.name).collect::<Vec<_>>(), ["awk", "mawk"]);
        assert!(parsed[0][0].allows("2.36-9") && !parsed[0][0].allows("2.35"));
        let provided = |text| Relation::parse(text).unwrap();
        assert!(!parsed[0][0].allows_provided(&provided("libc6")));
        assert!(parsed[0][0].allows_provided(&provided("libc6 (= 2.40)")));
        assert!(parsed[1][0].allows_provided(&provided("awk")));
        for bad in ["a", "x (>= )", "../etc", "libc6 | | b", "UPPER"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
