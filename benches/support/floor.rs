//! What cannot be avoided of an archive: inflating and hashing its entries.

use bakehouse::dist::{Error, Sink};
use bakehouse::model::Hasher;

/// Hashes what an archive's entries hold, and nothing else.
pub struct Floor(pub Hasher);

impl Sink for Floor {
    type Error = Error;

    fn packed(&mut self, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    fn plain(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.0.update(bytes);
        Ok(())
    }
}
