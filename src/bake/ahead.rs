//! Distributions fetched ahead, while a base image is looked into that nobody has looked into before.
//!
//! Until that is done, nobody knows for certain what will be installed: a lock is fresh for a target, which the base decides.
//! But a base rarely becomes another one, so what a lock names that is fresh for the base it was made for will be wanted. What
//! the store has, or a record in the registry, is not fetched.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::join_all;

use super::assemble::{Spread, group_key, stored};
use super::context::Context;
use super::{Error, Freshness, Goal, locks};
use crate::lock::Lock;
use crate::model::{Archive, Digest};
use crate::project::Component;

/// Begins to fetch what the locks of these components name. Whoever needs one of the distributions waits for the same
/// download; what fails here is told there.
pub async fn fetch(context: &Context<'_>, components: &[&Component]) {
    if context.goal != Goal::Build || context.options.freshness == Freshness::Upgrade {
        return;
    }
    let environments = components.iter().flat_map(|&component| {
        component.environments.iter().filter(|one| one.conda.is_none()).map(move |one| (component, one))
    });
    let mut begun = HashSet::new();
    for (component, environment) in environments {
        for lock in locks::presumed(context, component, environment) {
            // A lock that cannot be used is told of when it is its turn.
            for archive in wanted(context, &lock).await.unwrap_or_default() {
                if archive.sha256.is_some_and(|sha256| begun.insert(sha256)) {
                    begin(context, archive);
                }
            }
        }
    }
}

/// The archives that neither the store nor the registry makes superfluous, the largest first.
async fn wanted(context: &Context<'_>, lock: &Lock) -> Result<Vec<Archive>, Error> {
    // Only an image with very many layers below has fewer.
    let Spread { wheels, groups, .. } = Spread::new(lock, context.options.compression, usize::MAX)?;
    let stored = stored(context, &wheels)?;
    let known = |sha256: &Digest, size| context.store.blob(sha256, size).is_some();
    let missing = groups.iter().filter(|group| !group.iter().all(|&i| stored[i]));
    let asked = missing.map(|group| {
        let key = group_key(&wheels, group);
        async move {
            let is_new = match &context.records {
                Some(records) => {
                    records.layer(&context.store, key).await.map_or(true, |found| found.is_none())
                }
                None => true,
            };
            is_new.then_some(group)
        }
    });
    let places = join_all(asked).await.into_iter().flatten().flatten();
    let mut archives: Vec<Archive> = places
        // What is built from source waits for its turn.
        .filter(|&&i| !stored[i] && wheels[i].pin.built.is_none())
        .filter(|&&i| !known(&wheels[i].sha256, wheels[i].pin.archive.size))
        .map(|&i| wheels[i].pin.archive.clone())
        .collect();
    archives.sort_by_key(|archive| std::cmp::Reverse(archive.size));
    Ok(archives)
}

fn begin(context: &Context<'_>, archive: Archive) {
    let (index, downloads) = (context.index.clone(), Arc::clone(&context.downloads));
    tokio::spawn(async move {
        let _permit = downloads.acquire_owned().await;
        if let Err(error) = index.fetch(&archive).await {
            tracing::debug!(file = archive.file_name, %error, "not fetched ahead");
        }
    });
}
