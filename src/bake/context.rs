//! What all stages of a run share.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use url::Url;

use super::code::Parts;
use super::environments::Names;
use super::fragments::Fragments;
use super::locks::Solved;
use super::records::Records;
use super::report::Report;
use super::{Error, Event, Freshness, Goal, Options, Progress, Run, resolving};
use crate::build::{self, Builders};
use crate::index::Index;
use crate::layer::InstalledFile;
use crate::model::{Key, VersionOrUrl};
use crate::project::{CodeReader, Environment, Project};
use crate::registry::Registries;
use crate::store::Store;
use crate::{net, resolve};

/// The tools and limits of one run.
pub struct Context<'a> {
    pub options: &'a Options,
    pub goal: Goal,
    pub project: &'a Project,
    /// Finds the files of the code layers.
    pub code: CodeReader<'a>,
    /// The code layers.
    pub parts: Parts,
    pub store: Arc<Store>,
    pub index: Index,
    /// Make wheels of sources.
    pub builders: Builders,
    /// What the directories hold that environments build from, by the path of the lock.
    directories: HashMap<String, Vec<String>>,
    /// The indexes in use, without credentials: part of what a lock is made from.
    pub index_urls: Vec<Url>,
    /// What was resolved so far.
    pub solved: Solved,
    /// What else says where distributions come from, as canonical text.
    pub sources: Vec<String>,
    /// How to resolve.
    pub resolve_options: resolve::Options,
    pub registries: Registries,
    /// What the names of bases stand for in this run.
    pub names: &'a Names,
    /// Counts what is read of base images apart from what is sent.
    pub base_registries: Registries,
    /// Reads Debian's packages.
    pub debian: net::Client,
    /// Counts what passes to and from the repository of the records.
    cache_registries: Registries,
    /// What other machines made, if it is to be used.
    pub records: Option<Records>,
    /// Limits work that keeps a processor busy.
    pub processors: Arc<Semaphore>,
    /// Limits downloads of distributions.
    pub downloads: Arc<Semaphore>,
    /// Limits blobs being delivered.
    pub deliveries: Arc<Semaphore>,
    pub clocks: Clocks,
    /// What the store knows of fragments.
    pub fragments: Fragments,
    progress: &'a dyn Progress,
}

/// Downloads at once: enough to fill a line, few enough to bound open files.
const DOWNLOADS: usize = 8;
/// Blobs delivered at once.
const DELIVERIES: usize = 6;

impl<'a> Context<'a> {
    /// Opens the store and sets up the clients.
    pub fn new(run: &'a Run<'a>, project: &'a Project, code: CodeReader<'a>) -> Result<Self, Error> {
        let &Run { options, goal, progress, ref names } = run;
        let store = Arc::new(Store::open(&options.cache_dir)?);
        let client = net::Client::trusting(options.offline, &options.resolving.certificates)?;
        let registries = Registries::new(client.counting_apart(), options.plain_http);
        let settings = resolving::index_settings(options, project)?;
        let cache_registries = registries.counting_apart();
        let (index_urls, mut sources) =
            (settings.index_urls().iter().map(net::without_credentials).collect(), settings.canonical());
        let index = Index::new(settings, client.counting_apart(), Arc::clone(&store))?;
        let building = resolving::build_settings(options, project);
        let builders = Builders::new(building.clone(), index.clone());
        let environments = project.components.iter().flat_map(|component| &component.environments);
        environments.flat_map(|one| &one.requirements).for_each(|one| builders.authorize(one));
        // Few say anything of building: the locks of all others stay as they are.
        sources.extend(Some(building.building.canonical()).filter(|told| !told.is_empty()));
        Ok(Self {
            options,
            goal,
            project,
            index_urls,
            directories: directories(project, &sources),
            sources,
            builders,
            index,
            resolve_options: resolving::options(options, project),
            code,
            parts: Parts::default(),
            solved: Solved::default(),
            names,
            base_registries: registries.counting_apart(),
            debian: client.counting_apart(),
            records: Records::new(options, &cache_registries)?,
            cache_registries,
            registries,
            store,
            processors: Arc::new(Semaphore::new(options.jobs)),
            downloads: Arc::new(Semaphore::new(DOWNLOADS)),
            deliveries: Arc::new(Semaphore::new(DELIVERIES)),
            clocks: Clocks::default(),
            fragments: Fragments::default(),
            progress,
        })
    }

    /// What to do about stale locks.
    pub fn freshness(&self) -> Freshness {
        if self.goal == Goal::CheckLocks { Freshness::Require } else { self.options.freshness }
    }

    /// What besides the indexes says where the distributions of an environment come from, as canonical text.
    pub fn sources_of(&self, environment: &Environment) -> &[String] {
        self.directories.get(&environment.lock_path).unwrap_or(&self.sources)
    }

    /// Tells that something begins or ends.
    pub fn event(&self, event: Event<'_>) {
        self.progress.event(event);
    }

    /// Runs blocking work that keeps a processor busy; at most `jobs` of it at once.
    pub async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let _permit = self.processors.acquire().await;
        let _running = self.clocks.assemble.start();
        tokio::task::spawn_blocking(work).await.map_err(Error::Worker)?
    }

    /// The files of a fragment, sorted by path; none if the store does not know it (yet).
    pub fn installed_files(&self, fragment: &Key) -> Result<Arc<Vec<InstalledFile>>, Error> {
        Ok(self.fragments.files(&self.store, fragment)?.unwrap_or_default())
    }

    /// Puts what was counted and timed into the report.
    pub fn account(&self, report: &mut Report) {
        let index = self.index.counters();
        report.transfer.index_bytes = index.index_bytes;
        report.transfer.index_requests = index.index_requests;
        report.transfer.distribution_bytes = index.distribution_bytes;
        report.transfer.base_bytes +=
            self.base_registries.counters().received() + self.debian.counters().received();
        report.transfer.cache_bytes = self.cache_registries.counters().received();
        report.transfer.uploaded_bytes += self.cache_registries.counters().sent();
        report.transfer.registry_requests = [&self.registries, &self.base_registries, &self.cache_registries]
            .iter()
            .map(|registries| registries.counters().requests())
            .sum();
        report.warnings.extend(self.records.as_ref().and_then(Records::warning).as_ref().map(Into::into));
        report.timings.resolve_ms = self.clocks.resolve.millis();
        report.timings.download_ms = self.clocks.download.millis();
        report.timings.assemble_ms = self.clocks.assemble.millis();
        report.timings.push_ms = self.clocks.push.millis();
    }
}

/// For each environment that is built from directories: what else decides its distributions, and what is in these. One
/// that cannot be read is told when it is to be built.
fn directories(project: &Project, sources: &[String]) -> HashMap<String, Vec<String>> {
    let mut known: HashMap<&Url, String> = HashMap::new();
    let mut all = HashMap::new();
    for environment in project.components.iter().flat_map(|component| &component.environments) {
        let mut told = sources.to_vec();
        let requirements = environment.requirements.iter().chain(&environment.overrides);
        for requirement in requirements {
            let Some(VersionOrUrl::Url(url)) = &requirement.pep508.version_or_url else { continue };
            if url.scheme() != "file" || !url.to_file_path().is_ok_and(|path| path.is_dir()) {
                continue;
            }
            let content = known.entry(url).or_insert_with(|| {
                let content = url.to_file_path().ok().and_then(|path| build::content(&path).ok());
                content.map(|content| content.to_string()).unwrap_or_default()
            });
            told.push(format!("{} {content}", requirement.pep508.name));
        }
        if told.len() > sources.len() {
            all.insert(environment.lock_path.clone(), told);
        }
    }
    all
}

/// Stop-watches for the parts of a run, which overlap.
#[derive(Default)]
pub struct Clocks {
    pub resolve: Clock,
    pub download: Clock,
    pub assemble: Clock,
    pub push: Clock,
}

/// The time during which at least one piece of a part was under way.
#[derive(Default)]
pub struct Clock(Mutex<ClockState>);

#[derive(Default)]
struct ClockState {
    running: u32,
    since: Option<Instant>,
    total: Duration,
}

/// One piece of work on the clock; ends when dropped.
pub struct Running<'c>(&'c Clock);

impl Clock {
    /// Starts a piece of work.
    pub fn start(&self) -> Running<'_> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.running == 0 {
            state.since = Some(Instant::now());
        }
        state.running += 1;
        Running(self)
    }

    fn millis(&self) -> u64 {
        millis(self.0.lock().unwrap_or_else(PoisonError::into_inner).total)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut state = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.running -= 1;
        if state.running == 0
            && let Some(since) = state.since.take()
        {
            state.total += since.elapsed();
        }
    }
}

/// Whole milliseconds.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The commit that is checked out, read from the files of git; `None` where there is no such thing.
pub fn revision(root: &Path) -> Option<String> {
    let mut directory = root.canonicalize().ok()?;
    while !directory.join(".git").exists() {
        if !directory.pop() {
            return None;
        }
    }
    let mut git = directory.join(".git");
    if git.is_file() {
        // A worktree or submodule: the file points at the real directory.
        let text = read_small(&git)?;
        git = directory.join(text.strip_prefix("gitdir:")?.trim());
    }
    let head = read_small(&git.join("HEAD"))?;
    let Some(name) = head.trim().strip_prefix("ref: ") else { return commit(&head) };
    let common = read_small(&git.join("commondir")).map_or_else(|| git.clone(), |text| git.join(text.trim()));
    if name.split('/').any(|part| part == "..") {
        return None;
    }
    if let Some(text) = read_small(&git.join(name)).or_else(|| read_small(&common.join(name))) {
        return commit(&text);
    }
    let packed = std::fs::read_to_string(common.join("packed-refs")).ok()?;
    packed
        .lines()
        .find_map(|line| line.split_once(' ').filter(|(_, n)| *n == name).and_then(|(c, _)| commit(c)))
}

/// A commit's name, if the text is one.
fn commit(text: &str) -> Option<String> {
    let text = text.trim();
    (text.len() >= 40 && text.bytes().all(|b| b.is_ascii_hexdigit())).then(|| text.to_owned())
}

fn read_small(path: &Path) -> Option<String> {
    (std::fs::metadata(path).ok()?.len() < 4096).then(|| std::fs::read_to_string(path).ok())?
}
