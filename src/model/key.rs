//! Keys: names of things by what they are made from.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::digest::{Digest, DigestError, Hasher};

/// Names a fragment, layer or environment by its inputs: a pure function, equal on every machine. Written as 64 hexadecimal
/// digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Key(Digest);

impl Key {
    /// The first twelve digits: enough to name a thing to a person.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.hex())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Key {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        Digest::from_hex(text).map(Self)
    }
}

impl TryFrom<String> for Key {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.to_string()
    }
}

/// Computes a [`Key`] from a kind and a list of inputs. Each input is hashed with its length before it, so that no two
/// different lists give the same bytes.
pub struct KeyHasher(Hasher);

impl KeyHasher {
    /// Starts a key of a kind; the kind carries the format version, for instance `layer/1`.
    pub fn new(kind: &str) -> Self {
        let mut this = Self(Hasher::default());
        this.add(kind.as_bytes());
        this
    }

    /// Adds one input.
    pub fn add(&mut self, input: &[u8]) -> &mut Self {
        self.0.update(&(input.len() as u64).to_be_bytes());
        self.0.update(input);
        self
    }

    /// Adds one input that is text.
    pub fn text(&mut self, input: &str) -> &mut Self {
        self.add(input.as_bytes())
    }

    /// The key of all inputs so far.
    pub fn finish(&self) -> Key {
        Key(self.0.clone().finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_do_not_run_together() {
        let key = |parts: &[&str]| {
            let mut hasher = KeyHasher::new("test/1");
            parts.iter().for_each(|p| {
                hasher.text(p);
            });
            hasher.finish()
        };
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_ne!(key(&["ab"]), key(&["ab", ""]));
        assert_eq!(key(&["ab"]).to_string().parse(), Ok(key(&["ab"])));
    }
}
