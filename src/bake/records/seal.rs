//! A seal on records: a keyed hash that only those who share a secret can make.

use ring::hmac;

use crate::model::Hasher;

/// The shortest secret that is taken, in bytes. What is shorter could be guessed.
const MIN_SECRET: usize = 16;

/// The secret that seals records, from `BAKEHOUSE_CACHE_KEY`. Where it is set, records that were written without it, or
/// with another, count as absent. Never shown.
#[derive(Clone)]
pub struct CacheKey(hmac::Key);

impl std::fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CacheKey")
    }
}

impl CacheKey {
    /// A key from a secret text; `None` if that is too short to be one.
    pub fn new(secret: &str) -> Option<Self> {
        (secret.len() >= MIN_SECRET).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())))
    }

    /// The seal of a record: it holds for this tag and this config alone.
    pub fn seal(&self, tag: &str, config: &[u8]) -> String {
        hex(hmac::sign(&self.0, &message(tag, config)).as_ref())
    }

    /// Whether `seal` is that of the record. Takes the same time wherever the two differ.
    pub fn opens(&self, tag: &str, config: &[u8], seal: &str) -> bool {
        let Some(bytes) = unhex(seal) else { return false };
        hmac::verify(&self.0, &message(tag, config), &bytes).is_ok()
    }
}

/// What is sealed: the config by its hash, so that the parts cannot run into each other.
fn message(tag: &str, config: &[u8]) -> Vec<u8> {
    let mut hasher = Hasher::default();
    hasher.update(config);
    [b"bakehouse record\0", hasher.finish().as_bytes().as_slice(), tag.as_bytes()].concat()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.chars().map(|c| c.to_digit(16)?.try_into().ok()).collect::<Option<Vec<u8>>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_holds_for_one_tag_one_record_and_one_secret() {
        let key = CacheKey::new("correct horse battery").unwrap();
        let seal = key.seal("l1-abc", b"{}");
        assert!(key.opens("l1-abc", b"{}", &seal));
        assert!(!key.opens("l1-abd", b"{}", &seal), "another tag");
        assert!(!key.opens("l1-abc", b"{ }", &seal), "another record");
        assert!(!CacheKey::new("correct horse batter!").unwrap().opens("l1-abc", b"{}", &seal));
        for bad in ["", "0", "zz", &seal[2..], &format!("{seal}00"), "ä"] {
            assert!(!key.opens("l1-abc", b"{}", bad), "{bad}");
        }
    }

    #[test]
    fn a_short_secret_is_refused_and_none_is_shown() {
        assert!(CacheKey::new("short").is_none());
        let key = CacheKey::new("correct horse battery").unwrap();
        assert_eq!(format!("{key:?}"), "CacheKey");
    }
}
