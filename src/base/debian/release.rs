//! A suite's release file: who signed it, what it is of, and the hashes of what it lists.

use std::collections::BTreeMap;

use pgp::composed::{CleartextSignedMessage, Deserializable, SignedPublicKey};
use pgp::packet::{Signature, SignatureType};
use pgp::types::{KeyDetails, VerifyingKey};

use super::error::Error;
use crate::model::{Arch, Digest};

/// The keys of Debian's archive, as its package `debian-archive-keyring` has them.
const DEBIAN_KEYS: &[u8] = include_bytes!("keys/debian-archive-keyring.gpg");

/// The keys that release files may be signed with.
#[derive(Debug, Clone)]
pub struct Keys {
    name: String,
    keys: Vec<SignedPublicKey>,
}

impl Keys {
    /// Debian's own.
    pub fn debian() -> Result<Self, Error> {
        Self::parse("the keys of Debian's archive", DEBIAN_KEYS)
    }

    /// The public keys in a file, armored or not. `name` is for messages.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, Error> {
        let bad = |problem: String| Error::Keys { name: name.to_owned(), problem };
        let armored = bytes.trim_ascii_start().starts_with(b"-----BEGIN");
        let parsed: Result<Vec<SignedPublicKey>, _> = if armored {
            SignedPublicKey::from_armor_many(bytes).and_then(|(keys, _)| keys.collect())
        } else {
            SignedPublicKey::from_bytes_many(bytes).and_then(Iterator::collect)
        };
        let keys = parsed.map_err(|error| bad(error.to_string()))?;
        if keys.is_empty() {
            return Err(bad("it holds no public key".into()));
        }
        Ok(Self { name: name.to_owned(), keys })
    }

    /// Whether one of the keys made this signature of this text.
    fn made(&self, signature: &Signature, text: &[u8]) -> bool {
        if !matches!(signature.typ(), Some(SignatureType::Text | SignatureType::Binary)) {
            return false;
        }
        self.keys.iter().any(|key| {
            // A key that was withdrawn, or had expired when it signed, signs nothing.
            key.details.revocation_signatures.is_empty()
                && !expired(key, key_lifetime(key), signature)
                && (made_by(signature, &key.primary_key, text)
                    || key.public_subkeys.iter().any(|subkey| {
                        let bound = subkey.verify_bindings(&key.primary_key).is_ok();
                        let revoked = subkey
                            .signatures
                            .iter()
                            .any(|own| own.typ() == Some(SignatureType::SubkeyRevocation));
                        let may_sign = subkey.signatures.iter().any(|own| own.key_flags().sign());
                        let lifetime = subkey.signatures.iter().filter_map(lifetime).max();
                        bound
                            && !revoked
                            && may_sign
                            && !expired(&subkey.key, lifetime, signature)
                            && made_by(signature, &subkey.key, text)
                    }))
        })
    }
}

fn made_by(signature: &Signature, key: &impl VerifyingKey, text: &[u8]) -> bool {
    signature.verify(key, text).is_ok()
}

/// How long a key is valid, in seconds from its making, as its own signature of its names says.
fn key_lifetime(key: &SignedPublicKey) -> Option<u64> {
    key.details.users.iter().flat_map(|user| &user.signatures).filter_map(lifetime).max()
}

fn lifetime(signature: &Signature) -> Option<u64> {
    signature
        .key_expiration_time()
        .map(|duration| u64::from(duration.as_secs()))
        .filter(|&seconds| seconds > 0)
}

fn expired(key: &impl KeyDetails, lifetime: Option<u64>, signature: &Signature) -> bool {
    let Some(signed) = signature.created().map(|time| u64::from(time.as_secs())) else { return true };
    lifetime.is_some_and(|lifetime| signed > u64::from(key.created_at().as_secs()) + lifetime)
}

/// What a release file says, its signature checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Release {
    pub suite: String,
    pub codename: String,
    /// When it stops to be true, in seconds since 1970.
    pub valid_until: Option<i64>,
    pub by_hash: bool,
    /// What it says it is made for; other lists may be there all the same.
    architectures: Vec<String>,
    /// Hash and size of each file that it lists.
    files: BTreeMap<String, (Digest, u64)>,
}

impl Release {
    /// Reads a signed release file. One good signature is enough: a suite is signed by several keys, of which older
    /// keyrings lack the newest.
    pub fn verify(signed: &[u8], keys: &Keys, url: &str) -> Result<Self, Error> {
        let forged = |problem: String| Error::Signature { url: url.to_owned(), problem };
        let text = std::str::from_utf8(signed).map_err(|_| forged("it is no text".into()))?;
        let (message, _) = CleartextSignedMessage::from_string(text.trim_start())
            .map_err(|error| forged(format!("it is not signed in clear text ({error})")))?;
        let text = message.signed_text();
        if !message.signatures().iter().any(|signature| keys.made(signature, text.as_bytes())) {
            return Err(forged(format!("no signature is one by {}", keys.name)));
        }
        Self::parse(&text, url)
    }

    fn parse(text: &str, url: &str) -> Result<Self, Error> {
        let bad = |problem: &str| Error::Release { url: url.to_owned(), problem: problem.to_owned() };
        let mut fields = BTreeMap::new();
        let mut files = BTreeMap::new();
        let mut field = "";
        for line in text.lines() {
            if line.starts_with(' ') {
                if field == "SHA256" {
                    let mut words = line.split_whitespace();
                    let entry = || {
                        let digest = Digest::from_hex(words.next()?).ok()?;
                        let size = words.next()?.parse().ok()?;
                        Some((words.next()?.to_owned(), (digest, size)))
                    };
                    let (path, entry) = {
                        let mut entry = entry;
                        entry()
                    }
                    .ok_or_else(|| bad("it lists a file without a hash"))?;
                    files.insert(path, entry);
                }
            } else if let Some((name, value)) = line.split_once(':') {
                field = name;
                fields.entry(name).or_insert(value.trim());
            }
        }
        let valid_until = match fields.get("Valid-Until") {
            Some(text) => Some(time(text).ok_or_else(|| bad("its `Valid-Until` is no date"))?),
            None => None,
        };
        let text = |name: &str| fields.get(name).copied().unwrap_or_default().to_owned();
        Ok(Self {
            suite: text("Suite"),
            codename: text("Codename"),
            valid_until,
            by_hash: fields.get("Acquire-By-Hash") == Some(&"yes"),
            architectures: text("Architectures").split_whitespace().map(str::to_owned).collect(),
            files,
        })
    }

    /// Checks that it is the release file of `suite`, and still true at `now`.
    pub fn check(&self, suite: &str, now: i64, url: &str) -> Result<(), Error> {
        if self.suite != suite && self.codename != suite {
            let problem = format!("it is that of {} ({})", self.suite, self.codename);
            return Err(Error::Release { url: url.to_owned(), problem: problem.chars().take(200).collect() });
        }
        if self.valid_until.is_some_and(|until| until < now) {
            return Err(Error::Expired { url: url.to_owned() });
        }
        Ok(())
    }

    /// Whether it says that there is something for an architecture.
    pub fn is_for(&self, arch: Arch) -> bool {
        self.architectures.iter().any(|name| name == arch.oci())
    }

    /// The hash and size of a file that it lists.
    pub fn file(&self, path: &str) -> Option<(Digest, u64)> {
        self.files.get(path).copied()
    }
}

/// A time such as `Sat, 11 Jul 2026 10:16:37 UTC`, in seconds since 1970.
fn time(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = text.split_once(',').map_or(text, |(_, rest)| rest);
    let mut words = text.split_whitespace();
    let day: i64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = i64::try_from(MONTHS.iter().position(|known| *known == month)?).ok()? + 1;
    let year: i64 = words.next()?.parse().ok()?;
    let clock: Vec<i64> = words.next()?.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [hour, minute, second] = clock[..] else { return None };
    let zone = words.next()?;
    let in_range = (1..=31).contains(&day)
        && (1970..=9999).contains(&year)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second)
        && matches!(zone, "UTC" | "GMT" | "+0000");
    if !in_range {
        return None;
    }
    // Days since 1970 in the Gregorian calendar, years counted from March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read() {
        assert_eq!(time("Thu, 01 Jan 1970 00:00:00 UTC"), Some(0));
        assert_eq!(time("Sat, 11 Jul 2026 10:16:37 UTC"), Some(1_783_764_997));
        assert_eq!(time("Thu, 29 Feb 2024 23:59:59 UTC"), Some(1_709_251_199));
        for bad in ["", "yesterday", "Sat, 11 Jul 2026 10:16 UTC", "Sat, 11 Jul 2026 10:16:37 CEST"] {
            assert_eq!(time(bad), None, "{bad}");
        }
    }

    #[test]
    fn debians_keys_are_read() {
        assert!(Keys::debian().unwrap().keys.len() >= 9);
        assert!(Keys::parse("x", b"nonsense").is_err());
    }
}
