//! Which Python an environment asks for.

use std::str::FromStr;

use super::Error;
use crate::model::{Origin, PythonMinor, Version, VersionSpecifiers};

/// A request for a Python version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PythonRequest {
    /// The versions that will do.
    pub specifiers: VersionSpecifiers,
    /// Where it is said.
    pub origin: Origin,
}

impl PythonRequest {
    /// Reads a version as people write it: `3.11` stands for every patch release, `3.11.7` for itself; specifiers such
    /// as `>=3.11` stay as they are. A single leading `=` means nothing.
    pub fn parse(text: &str, origin: Origin) -> Result<Self, Error> {
        let text = text.trim();
        let bare = text.trim_start_matches('=').trim();
        let specifiers = match Version::from_str(bare) {
            Ok(version) if version.release().len() <= 2 && !version.any_prerelease() => {
                VersionSpecifiers::from_str(&format!("=={bare}.*"))
            }
            Ok(_) => VersionSpecifiers::from_str(&format!("=={bare}")),
            Err(_) => VersionSpecifiers::from_str(text),
        };
        match specifiers {
            Ok(specifiers) if !specifiers.is_empty() => Ok(Self { specifiers, origin }),
            _ => {
                let shown: String = text.chars().take(100).collect();
                let problem = format!("`{shown}` is not a Python version");
                Err(Error::Invalid { origin, problem, hint: Some("write one like 3.11, 3.11.7 or >=3.11") })
            }
        }
    }

    /// Whether some patch release of `minor` satisfies the request.
    pub fn allows(&self, minor: PythonMinor) -> bool {
        let (x, y) = (u64::from(minor.major), u64::from(minor.minor));
        // Between the patch releases that the specifiers name, all are alike: it is enough to try those around them.
        let mut patches = vec![0, u64::from(u32::MAX)];
        for specifier in self.specifiers.iter() {
            if let [_, _, patch, ..] = specifier.version().release() {
                patches.extend([patch.saturating_sub(1), *patch, patch.saturating_add(1)]);
            }
        }
        patches.into_iter().any(|patch| self.specifiers.contains(&Version::new([x, y, patch])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(text: &str) -> Vec<u8> {
        let request = PythonRequest::parse(text, Origin::file("x")).unwrap();
        (7..16).filter(|minor| request.allows(PythonMinor { major: 3, minor: *minor })).collect()
    }

    #[test]
    fn versions_are_read_as_people_write_them() {
        for text in
            ["3.11", "==3.11", "=3.11", "3.11.7", "==3.11.*", ">=3.11.4,<3.11.9", ">3.11.3,!=3.11.4,<=3.11.5"]
        {
            assert_eq!(allowed(text), [11], "{text}");
        }
        assert_eq!(allowed(">=3.11,<3.14"), [11, 12, 13]);
        assert_eq!(allowed("~=3.11"), [11, 12, 13, 14, 15]);
        assert_eq!(allowed("3"), [7, 8, 9, 10, 11, 12, 13, 14, 15]);
        assert_eq!(allowed("!=3.7.*,<3.9"), [8]);
        assert_eq!(allowed("3.13.0rc1").len(), 0, "a pre-release is no patch release");
        for bad in ["", "three", ">=", "3.x", "="] {
            assert!(PythonRequest::parse(bad, Origin::file("x")).is_err(), "{bad}");
        }
    }
}
