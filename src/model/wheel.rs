//! Wheel file names (the binary distribution format specification).

use std::fmt;
use std::str::FromStr;

use pep440_rs::Version;
use pep508_rs::PackageName;

/// A wheel's file name, taken apart: `NAME-VERSION(-BUILD)?-PYTHON-ABI-PLATFORM.whl`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WheelName {
    /// The distribution's normalised name.
    pub name: PackageName,
    /// The version.
    pub version: Version,
    /// The build tag: its number and the text after it; among equal wheels the higher wins.
    pub build: Option<(u64, String)>,
    /// Python tags, such as `cp311` or `py3`.
    pub python: Vec<String>,
    /// ABI tags, such as `cp311`, `abi3` or `none`.
    pub abi: Vec<String>,
    /// Platform tags, such as `manylinux_2_17_x86_64` or `any`.
    pub platform: Vec<String>,
    /// The file name as given.
    file_name: String,
}

/// The text is not a wheel's file name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{file_name}` is not a wheel file name: {reason}")]
pub struct WheelNameError {
    /// The name as given.
    pub file_name: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl WheelName {
    /// The file name as given.
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// The compressed tag set as the file name has it, such as `cp311-cp311-manylinux_2_17_x86_64`.
    pub fn tags(&self) -> String {
        format!("{}-{}-{}", self.python.join("."), self.abi.join("."), self.platform.join("."))
    }
}

impl FromStr for WheelName {
    type Err = WheelNameError;

    fn from_str(file_name: &str) -> Result<Self, WheelNameError> {
        let err = |reason| WheelNameError { file_name: file_name.chars().take(300).collect(), reason };
        if file_name.contains(['/', '\\', '\0']) {
            return Err(err("it contains a path separator"));
        }
        let stem = file_name.strip_suffix(".whl").ok_or_else(|| err("it does not end in `.whl`"))?;
        let parts: Vec<&str> = stem.split('-').collect();
        let (name, version, build, tags) = match parts[..] {
            [name, version, python, abi, platform] => (name, version, None, [python, abi, platform]),
            [name, version, build, python, abi, platform] => {
                (name, version, Some(build), [python, abi, platform])
            }
            _ => return Err(err("it does not have five or six parts")),
        };
        let build = match build {
            None => None,
            Some(text) => {
                let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
                let number =
                    text[..digits].parse().map_err(|_| err("its build tag does not start with a number"))?;
                Some((number, text[digits..].to_owned()))
            }
        };
        let split = |text: &str| -> Result<Vec<String>, WheelNameError> {
            let tags: Vec<String> = text.split('.').map(str::to_owned).collect();
            if tags.iter().any(String::is_empty) { Err(err("it has an empty tag")) } else { Ok(tags) }
        };
        Ok(Self {
            name: name.parse().map_err(|_| err("its name is not a valid distribution name"))?,
            version: version
                .replace('_', "-")
                .parse()
                .map_err(|_| err("its version is not valid (PEP 440)"))?,
            build,
            python: split(tags[0])?,
            abi: split(tags[1])?,
            platform: split(tags[2])?,
            file_name: file_name.to_owned(),
        })
    }
}

impl fmt::Display for WheelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file_name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_told_apart() {
        let name: WheelName =
            "Foo_Bar-1.0+local.1-2b-cp311.cp312-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
                .parse()
                .unwrap();
        assert_eq!(name.name.to_string(), "foo-bar");
        assert_eq!(name.version.to_string(), "1.0+local.1");
        assert_eq!(name.build, Some((2, "b".to_owned())));
        assert_eq!(name.python, ["cp311", "cp312"]);
        assert_eq!(name.tags(), "cp311.cp312-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64");
    }

    #[test]
    fn what_is_no_wheel_is_refused() {
        for bad in [
            "a-1.0.tar.gz",
            "a-1.0-py3-none.whl",
            "a-1.0-b-py3-none-any.whl",
            "../a-1-py3-none-any.whl",
            "a-x-py3-none-any.whl",
        ] {
            assert!(bad.parse::<WheelName>().is_err(), "{bad}");
        }
    }
}
