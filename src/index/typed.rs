//! Numbers, texts, versions, specifiers and requirements in the form in which the store keeps them: read once from text, and
//! from then on never again.
//!
//! Numbers are LEB128, a text is its length and its bytes, an enumeration is a byte, a list its length and its items.
//! Packed bytes come from disk, so nothing in them is taken for granted: what does not read as it should gives nothing. Markers
//! that nobody could have written make their library panic, so whoever reads requirements checks that they are what was written.

use pep440_rs::{
    LocalSegment, Operator, Prerelease, PrereleaseKind, Version, VersionSpecifier, VersionSpecifiers,
};
use pep508_rs::{
    ExtraOperator, MarkerExpression, MarkerOperator, MarkerTree, MarkerValueExtra, MarkerValueString,
    MarkerValueVersion, Requirement, VersionOrUrl,
};
use url::Url;

use crate::model::Digest;

const EPOCH: u8 = 1;
const POST: u8 = 2;
const DEV: u8 = 4;
const LOCAL: u8 = 8;
const PRE: [(u8, PrereleaseKind); 3] =
    [(16, PrereleaseKind::Alpha), (32, PrereleaseKind::Beta), (48, PrereleaseKind::Rc)];

const OPERATORS: [Operator; 10] = [
    Operator::Equal,
    Operator::EqualStar,
    Operator::ExactEqual,
    Operator::NotEqual,
    Operator::NotEqualStar,
    Operator::TildeEqual,
    Operator::LessThan,
    Operator::LessThanEqual,
    Operator::GreaterThan,
    Operator::GreaterThanEqual,
];

const MARKER_OPERATORS: [MarkerOperator; 10] = [
    MarkerOperator::Equal,
    MarkerOperator::NotEqual,
    MarkerOperator::GreaterThan,
    MarkerOperator::GreaterEqual,
    MarkerOperator::LessThan,
    MarkerOperator::LessEqual,
    MarkerOperator::In,
    MarkerOperator::NotIn,
    MarkerOperator::Contains,
    MarkerOperator::NotContains,
];

const VERSION_KEYS: [MarkerValueVersion; 3] = [
    MarkerValueVersion::ImplementationVersion,
    MarkerValueVersion::PythonFullVersion,
    MarkerValueVersion::PythonVersion,
];

const STRING_KEYS: [MarkerValueString; 14] = [
    MarkerValueString::ImplementationName,
    MarkerValueString::OsName,
    MarkerValueString::OsNameDeprecated,
    MarkerValueString::PlatformMachine,
    MarkerValueString::PlatformMachineDeprecated,
    MarkerValueString::PlatformPythonImplementation,
    MarkerValueString::PlatformPythonImplementationDeprecated,
    MarkerValueString::PythonImplementationDeprecated,
    MarkerValueString::PlatformRelease,
    MarkerValueString::PlatformSystem,
    MarkerValueString::PlatformVersion,
    MarkerValueString::PlatformVersionDeprecated,
    MarkerValueString::SysPlatform,
    MarkerValueString::SysPlatformDeprecated,
];

const EXTRA_OPERATORS: [ExtraOperator; 2] = [ExtraOperator::Equal, ExtraOperator::NotEqual];

/// Appends a number.
pub(super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a text.
pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_number(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Appends a value's place among all that there are.
fn put_one_of<T: PartialEq>(out: &mut Vec<u8>, value: &T, all: &[T]) {
    let place = all.iter().position(|one| one == value).and_then(|place| u8::try_from(place).ok());
    // What is unknown here, from a later version of the library, makes the record unreadable, and so absent.
    out.push(place.unwrap_or(u8::MAX));
}

/// Appends a version, as it is spelled.
pub(super) fn put_version(out: &mut Vec<u8>, version: &Version) {
    let flag = |condition: bool, flag: u8| if condition { flag } else { 0 };
    let pre = version.pre();
    let kind = PRE.iter().find(|(_, kind)| pre.is_some_and(|pre| pre.kind == *kind));
    out.push(
        flag(version.epoch() != 0, EPOCH)
            | flag(version.post().is_some(), POST)
            | flag(version.dev().is_some(), DEV)
            | flag(version.is_local(), LOCAL)
            | kind.map_or(0, |(flag, _)| *flag),
    );
    put_number(out, version.release().len() as u64);
    version.release().iter().for_each(|&number| put_number(out, number));
    if version.epoch() != 0 {
        put_number(out, version.epoch());
    }
    for number in [pre.map(|pre| pre.number), version.post(), version.dev()].into_iter().flatten() {
        put_number(out, number);
    }
    if version.is_local() {
        put_number(out, version.local().len() as u64);
        for segment in version.local() {
            match segment {
                LocalSegment::Number(number) => {
                    put_text(out, "");
                    put_number(out, *number);
                }
                LocalSegment::String(text) => put_text(out, text),
            }
        }
    }
}

/// Appends one specifier.
fn put_specifier(out: &mut Vec<u8>, specifier: &VersionSpecifier) {
    put_one_of(out, specifier.operator(), &OPERATORS);
    put_version(out, specifier.version());
}

/// Appends specifiers.
pub(super) fn put_specifiers(out: &mut Vec<u8>, specifiers: &VersionSpecifiers) {
    put_number(out, specifiers.len() as u64);
    specifiers.iter().for_each(|specifier| put_specifier(out, specifier));
}

/// Appends a requirement.
pub(super) fn put_requirement(out: &mut Vec<u8>, requirement: &Requirement<Url>) {
    put_text(out, requirement.name.as_ref());
    put_number(out, requirement.extras.len() as u64);
    requirement.extras.iter().for_each(|extra| put_text(out, extra.as_ref()));
    match &requirement.version_or_url {
        None => out.push(0),
        Some(VersionOrUrl::VersionSpecifier(specifiers)) => {
            out.push(1);
            put_specifiers(out, specifiers);
        }
        Some(VersionOrUrl::Url(url)) => {
            out.push(2);
            put_text(out, url.as_str());
        }
    }
    put_marker(out, &requirement.marker);
}

/// Appends a marker: alternatives, each of conditions that must all hold.
fn put_marker(out: &mut Vec<u8>, marker: &MarkerTree) {
    let alternatives = if marker.is_true() { vec![Vec::new()] } else { marker.to_dnf() };
    put_number(out, alternatives.len() as u64);
    for conditions in &alternatives {
        put_number(out, conditions.len() as u64);
        conditions.iter().for_each(|condition| put_condition(out, condition));
    }
}

fn put_condition(out: &mut Vec<u8>, condition: &MarkerExpression) {
    match condition {
        MarkerExpression::Version { key, specifier } => {
            out.push(0);
            put_one_of(out, key, &VERSION_KEYS);
            put_specifier(out, specifier);
        }
        MarkerExpression::VersionIn { key, versions, negated } => {
            out.push(if *negated { 2 } else { 1 });
            put_one_of(out, key, &VERSION_KEYS);
            put_number(out, versions.len() as u64);
            versions.iter().for_each(|version| put_version(out, version));
        }
        MarkerExpression::String { key, operator, value } => {
            out.push(3);
            put_one_of(out, key, &STRING_KEYS);
            put_one_of(out, operator, &MARKER_OPERATORS);
            put_text(out, value);
        }
        MarkerExpression::Extra { operator, name } => {
            out.push(if matches!(name, MarkerValueExtra::Extra(_)) { 4 } else { 5 });
            put_one_of(out, operator, &EXTRA_OPERATORS);
            put_text(out, &name.to_string());
        }
    }
}

/// Reads what the functions above wrote; nothing where the bytes end too early or make no sense.
pub(super) struct Reader<'b> {
    pub(super) bytes: &'b [u8],
}

impl<'b> Reader<'b> {
    pub(super) fn take(&mut self, len: usize) -> Option<&'b [u8]> {
        let (head, rest) = self.bytes.split_at_checked(len)?;
        self.bytes = rest;
        Some(head)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// A length of something that takes at least a byte for each.
    pub(super) fn len(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok().filter(|len| *len <= self.bytes.len())
    }

    pub(super) fn text(&mut self) -> Option<&'b str> {
        let len = self.len()?;
        std::str::from_utf8(self.take(len)?).ok()
    }

    pub(super) fn digest(&mut self) -> Option<Digest> {
        Some(Digest::from_bytes(self.take(32)?.try_into().ok()?))
    }

    fn one_of<T: Clone>(&mut self, all: &[T]) -> Option<T> {
        all.get(usize::from(self.byte()?)).cloned()
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let len = self.len()?;
        (0..len).map(|_| item(self)).collect()
    }

    pub(super) fn version(&mut self) -> Option<Version> {
        let flags = self.byte()?;
        let len = self.len().filter(|len| *len > 0)?;
        let mut version = if len <= 8 {
            // Nearly all are short, and need no list.
            let mut release = [0; 8];
            for number in &mut release[..len] {
                *number = self.number()?;
            }
            Version::new(&release[..len])
        } else {
            Version::new((0..len).map(|_| self.number()).collect::<Option<Vec<u64>>>()?)
        };
        if flags & EPOCH != 0 {
            version = version.with_epoch(self.number()?);
        }
        if let Some((_, kind)) = PRE.iter().find(|(flag, _)| *flag == flags & 48) {
            version = version.with_pre(Some(Prerelease { kind: *kind, number: self.number()? }));
        }
        if flags & POST != 0 {
            version = version.with_post(Some(self.number()?));
        }
        if flags & DEV != 0 {
            version = version.with_dev(Some(self.number()?));
        }
        if flags & LOCAL != 0 {
            version = version.with_local(self.list(|reader| {
                Some(match reader.text()? {
                    "" => LocalSegment::Number(reader.number()?),
                    text => LocalSegment::String(text.to_owned()),
                })
            })?);
        }
        Some(version)
    }

    fn specifier(&mut self) -> Option<VersionSpecifier> {
        let operator = self.one_of(&OPERATORS)?;
        VersionSpecifier::from_version(operator, self.version()?).ok()
    }

    pub(super) fn specifiers(&mut self) -> Option<VersionSpecifiers> {
        Some(self.list(Self::specifier)?.into_iter().collect())
    }

    pub(super) fn requirement(&mut self) -> Option<Requirement<Url>> {
        Some(Requirement {
            name: self.text()?.parse().ok()?,
            extras: self.list(|reader| reader.text()?.parse().ok())?,
            version_or_url: match self.byte()? {
                0 => None,
                1 => Some(VersionOrUrl::VersionSpecifier(self.specifiers()?)),
                2 => Some(VersionOrUrl::Url(Url::parse(self.text()?).ok()?)),
                _ => return None,
            },
            marker: self.marker()?,
            origin: None,
        })
    }

    fn marker(&mut self) -> Option<MarkerTree> {
        let mut any = MarkerTree::FALSE;
        for _ in 0..self.len()? {
            let mut all = MarkerTree::TRUE;
            for _ in 0..self.number()? {
                all.and(MarkerTree::expression(self.condition()?));
            }
            any.or(all);
        }
        Some(any)
    }

    fn condition(&mut self) -> Option<MarkerExpression> {
        Some(match self.byte()? {
            0 => MarkerExpression::Version { key: self.one_of(&VERSION_KEYS)?, specifier: self.specifier()? },
            kind @ (1 | 2) => MarkerExpression::VersionIn {
                key: self.one_of(&VERSION_KEYS)?,
                versions: self.list(Self::version)?,
                negated: kind == 2,
            },
            3 => MarkerExpression::String {
                key: self.one_of(&STRING_KEYS)?,
                operator: self.one_of(&MARKER_OPERATORS)?,
                value: self.text()?.to_owned(),
            },
            kind @ (4 | 5) => MarkerExpression::Extra {
                operator: self.one_of(&EXTRA_OPERATORS)?,
                name: match (kind, self.text()?) {
                    (4, name) => MarkerValueExtra::Extra(name.parse().ok()?),
                    (_, text) => MarkerValueExtra::Arbitrary(text.to_owned()),
                },
            },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_read_as_they_are_spelled() {
        for text in [
            "1",
            "1.0",
            "1.0.0",
            "2026.10.19.post1",
            "1!2.3a4.post5.dev6+local.7.x",
            "0.0.0rc1",
            "3b2",
            "1.2.3.4.5.6.7.8.9.10",
            "20260101000000",
            "18446744073709551615.1",
        ] {
            let version: Version = text.parse().unwrap();
            let mut bytes = Vec::new();
            put_version(&mut bytes, &version);
            let read = Reader { bytes: &bytes }.version().unwrap();
            assert_eq!((read.to_string(), &read), (version.to_string(), &version), "{text}");
        }
    }

    #[test]
    fn requirements_read_as_they_were_written() {
        for text in [
            "a",
            "a[b,c]",
            "a>=1,<2,!=1.5.*,~=1.1,===1.4",
            "a==1.0+cpu ; python_version < '3.9'",
            "a @ https://host.example/a-1-py3-none-any.whl ; extra == 'x'",
            "a>1 ; (extra == 'x' or extra == 'y') and sys_platform != 'win32'",
            "a ; python_version in '3.8 3.9' or implementation_version >= '3.10'",
            "a ; python_version not in '3.8 3.9' and extra != 'z'",
            "a ; 'linux' in sys_platform or platform_machine in 'x86_64 aarch64'",
            "a ; 'linux' not in sys_platform and os.name == 'posix' and python_implementation == 'CPython'",
            "a ; platform_release >= '5' and platform_version ~= '1' and platform_system < 'Z'",
            "a ; extra == 'not a name' or python_full_version == '3.11.2'",
            "a ; sys_platform == 'a' and sys_platform == 'b'",
        ] {
            let requirement: Requirement<Url> = text.parse().unwrap();
            let mut bytes = Vec::new();
            put_requirement(&mut bytes, &requirement);
            let mut reader = Reader { bytes: &bytes };
            assert_eq!(reader.requirement().unwrap(), requirement, "{text}");
            assert!(reader.bytes.is_empty(), "{text}");

            for end in 0..bytes.len() {
                assert_eq!(Reader { bytes: &bytes[..end] }.requirement(), None, "{text}");
            }
        }
    }
}
