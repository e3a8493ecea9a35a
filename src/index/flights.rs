//! Single flight: whoever asks for the same thing waits for the same answer.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::Error;

/// Answers by key. Each is worked out once and kept, failures included: what failed after all retries would fail again.
/// When the task that works one out is dropped, the next that waits takes over.
pub(super) struct Flights<K, V>(Mutex<HashMap<K, Arc<Flight<V>>>>);

type Flight<V> = OnceCell<Result<V, Error>>;

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Flights<K, V> {
    /// The answer for `key`, by `work` if nobody has it or is at it.
    pub(super) async fn get(&self, key: K, work: impl Future<Output = Result<V, Error>>) -> Result<V, Error> {
        let cell = {
            let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(cells.entry(key).or_default())
        };
        cell.get_or_init(|| work).await.clone()
    }

    /// The answer for `key`, if it is there already.
    pub(super) fn known(&self, key: &K) -> Option<Result<V, Error>> {
        let cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cells.get(key)?.get().cloned()
    }
}
