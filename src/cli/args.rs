//! The command line. Names are those of pip, uv and docker where they have one.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use url::Url;

use super::resolving::ResolvingArguments;
use crate::bake::{CacheKey, Debian, Delivery, Freshness, Options, Output, RemoteCache};
use crate::base::Source;
use crate::layer::Compression;
use crate::model::{Platform, PythonMinor};
use crate::project::{CodeOptions, Settings};
use crate::registry::ArchiveFormat;

/// Builds container images for Python projects without Docker.
#[derive(Debug, Parser)]
#[command(name = "bakehouse", version, about, disable_help_subcommand = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Say more: -v what happens, -vv every request.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Say only what went wrong.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Lock what is missing or stale, assemble the layers, write the images somewhere.
    Build(BuildArguments),
    /// Write the pylock.toml files.
    Lock(LockArguments),
    /// Show what build would do: components, environments, layers, bytes to move. Touches nothing.
    Plan(PlanArguments),
    /// The local store.
    Cache {
        /// What to do with it.
        #[command(subcommand)]
        command: CacheCommand,
    },
}

/// What can be done with the store.
#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// Tell where it is and how much it holds.
    Info(CacheArguments),
    /// Remove what was not used for a while. Waits for runs that use the store.
    Prune(PruneArguments),
    /// Remove everything. Waits for runs that use the store.
    Clean(CacheArguments),
}

/// What goes.
#[derive(Debug, Args)]
pub struct PruneArguments {
    /// How many days something must not have been used to be removed.
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    pub unused_for: u32,
    /// Where the store is.
    #[command(flatten)]
    pub cache: CacheArguments,
}

/// Where the store is.
#[derive(Debug, Args)]
pub struct CacheArguments {
    /// The directory of the local store [default: $XDG_CACHE_HOME/bakehouse or ~/.cache/bakehouse].
    #[arg(long, env = "BAKEHOUSE_CACHE_DIR", value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
}

impl CacheArguments {
    /// The directory, by option, variable or convention.
    pub fn directory(&self) -> Result<PathBuf, String> {
        if let Some(directory) = &self.cache_dir {
            return Ok(directory.clone());
        }
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        set("XDG_CACHE_HOME")
            .or_else(|| set("HOME").map(|home| home.join(".cache")))
            .map(|cache| cache.join("bakehouse"))
            .ok_or_else(|| {
                "neither HOME nor XDG_CACHE_HOME is set: name the store with --cache-dir".to_owned()
            })
    }
}

/// Where the report goes.
#[derive(Debug, Args)]
pub struct ReportArguments {
    /// What to print on stdout.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Write the JSON report to a file as well.
    #[arg(long, value_name = "FILE")]
    pub metadata_file: Option<PathBuf>,
}

/// The form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// The report, for programs.
    Json,
}

/// Options that `build`, `plan` and `lock` share.
#[derive(Debug, Args)]
pub struct ProjectArguments {
    /// The project's folder.
    #[arg(default_value = ".", value_name = "PROJECT")]
    pub project: PathBuf,
    /// Only this component: NAME, or flow/NAME, deployment/NAME; of several projects PROJECT/flow/NAME, or all of one:
    /// project/PROJECT (repeatable).
    #[arg(short, long, value_name = "NAME")]
    pub component: Vec<String>,
    /// The branch, for branch filters and environments [default: the CI system's, else what git has checked out].
    #[arg(long, value_name = "NAME")]
    pub branch: Option<String>,
    /// The base image: a registry reference, oci:DIR[:NAME], oci-archive:FILE[:NAME], docker-archive:FILE[:NAME] or
    /// deb://SUITE [default: the newest Debian suite whose Python fits].
    #[arg(long, value_name = "REF")]
    pub base: Option<String>,
    #[command(flatten)]
    debian: DebianArguments,
    /// The Python version, such as 3.11.
    #[arg(long, value_name = "X.Y")]
    pub python: Option<PythonMinor>,
    /// Do not let the environment use what is installed in the base image, which it does where nobody asks for a Python.
    #[arg(long)]
    pub isolated: bool,
    /// Where Pythons come from that the base lacks: archives in the layout `install_only` of python-build-standalone, as a
    /// file, a URL, a directory, or a URL that ends with / and has a SHA256SUMS (repeatable).
    #[arg(long, env = "BAKEHOUSE_PYTHON_ARCHIVE", value_name = "ARCHIVE")]
    pub python_archive: Vec<String>,
    /// The platforms to build for: linux/amd64, linux/arm64, or both with a comma between.
    #[arg(long, value_name = "OS/ARCH", default_value = "linux/amd64", value_delimiter = ',')]
    pub platform: Vec<Platform>,
    /// Use no network; what the store does not hold is an error.
    #[arg(long)]
    pub offline: bool,
    /// Reach registries by plain HTTP. Loopback addresses need no flag.
    #[arg(long)]
    pub plain_http: bool,
    /// How many distributions and layers are worked on at once [default: the number of processors].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,
    #[command(flatten)]
    cache: CacheArguments,
    #[command(flatten)]
    resolving: ResolvingArguments,
}

/// What goes into the code layers.
#[derive(Debug, Args)]
pub struct CodeArguments {
    /// Leave out of the image what .gitignore files name, as .dockerignore does.
    #[arg(long)]
    gitignore: bool,
    /// Put a package from outside the project into the image, or all packages of a folder (repeatable).
    #[arg(long, value_name = "DIR")]
    library: Vec<PathBuf>,
}

/// How bases of Debian's packages are made.
#[derive(Debug, Args)]
struct DebianArguments {
    /// The mirror of Debian's archive for deb:// bases [default: deb.debian.org].
    #[arg(long, env = "BAKEHOUSE_DEBIAN_MIRROR", value_name = "URL")]
    debian_mirror: Option<Url>,
    /// The mirror of Debian's security updates [default: the other mirror's URL with -security].
    #[arg(long, env = "BAKEHOUSE_DEBIAN_SECURITY_MIRROR", value_name = "URL")]
    debian_security_mirror: Option<Url>,
    /// The suite of Debian's security updates [default: SUITE-security].
    #[arg(long, value_name = "NAME", conflicts_with = "no_debian_security")]
    debian_security_suite: Option<String>,
    /// A mirror that keeps packages which have left the others.
    #[arg(long, env = "BAKEHOUSE_DEBIAN_SNAPSHOT", value_name = "URL")]
    debian_snapshot: Option<Url>,
    /// The keys that the mirror's release files are signed with [default: those of Debian's archive].
    #[arg(long, env = "BAKEHOUSE_DEBIAN_KEYRING", value_name = "FILE")]
    debian_keyring: Option<PathBuf>,
    /// Leave security updates out.
    #[arg(long)]
    no_debian_security: bool,
    /// A further Debian package in the base (repeatable).
    #[arg(long, value_name = "NAME")]
    debian_package: Vec<String>,
}

impl DebianArguments {
    fn options(&self) -> Debian {
        Debian {
            mirror: self.debian_mirror.clone(),
            security_mirror: self.debian_security_mirror.clone(),
            security_suite: self.debian_security_suite.clone(),
            snapshot: self.debian_snapshot.clone(),
            keyring: self.debian_keyring.clone(),
            no_security: self.no_debian_security,
            packages: self.debian_package.clone(),
        }
    }
}

/// Arguments of `build` and `plan`.
#[derive(Debug, Args)]
pub struct BuildArguments {
    #[command(flatten)]
    project: ProjectArguments,
    #[command(flatten)]
    code: CodeArguments,
    /// Push to PREFIX/NAME, NAME being the component's.
    #[arg(long, value_name = "PREFIX")]
    push: Option<String>,
    /// Write the images to oci:DIR, oci-archive:FILE or docker-archive:FILE (repeatable).
    #[arg(long, value_name = "KIND:PATH")]
    output: Vec<String>,
    /// How layers are compressed: gzip, which every program reads, or zstd.
    #[arg(long, value_name = "gzip|zstd", default_value_t)]
    compression: Compression,
    /// The tag (repeatable).
    #[arg(short, long, value_name = "TAG", default_value = "latest")]
    tag: Vec<String>,
    /// A label of the images (repeatable).
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// The user that the images run as, by name or number, perhaps with a group.
    #[arg(long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// The working directory.
    #[arg(long, value_name = "DIR")]
    workdir: Option<String>,
    /// An environment variable of the images (repeatable).
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// The entry point: text, or a JSON array; empty for none.
    #[arg(long, value_name = "COMMAND")]
    entrypoint: Option<String>,
    /// The command: text, or a JSON array; empty for none.
    #[arg(long, value_name = "COMMAND")]
    cmd: Option<String>,
    /// A port to expose, such as 8000 or 53/udp (repeatable).
    #[arg(long, value_name = "PORT")]
    expose: Vec<String>,
    /// The signal that ends the program, such as SIGINT.
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
    /// The repository of the records by which other machines find layers [default: PREFIX/bakehouse-cache with --push].
    #[arg(long, value_name = "REPO", conflicts_with = "no_remote_cache")]
    cache_repo: Option<String>,
    /// Neither read nor write records in a registry.
    #[arg(long)]
    no_remote_cache: bool,
    /// Read and hash every layer that a record in the registry names before it is used.
    #[arg(long)]
    verify_cache: bool,
    /// Fail if a lock is stale or missing, instead of locking.
    #[arg(long, conflicts_with_all = ["frozen", "upgrade", "upgrade_package"])]
    locked: bool,
    /// Use the locks as they are, without asking whether they are stale.
    #[arg(long, conflicts_with_all = ["upgrade", "upgrade_package"])]
    frozen: bool,
    /// Lock anew, without preferring the versions of the old lock.
    #[arg(long)]
    upgrade: bool,
    #[command(flatten)]
    pub report: ReportArguments,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub struct PlanArguments {
    #[command(flatten)]
    pub build: BuildArguments,
    /// List the files of the code layers instead, and what is left out and why. Needs neither base nor network.
    #[arg(long)]
    pub files: bool,
    /// List what each flow step and deployment asks for instead, and where that is said. Needs neither base nor network.
    #[arg(long, conflicts_with = "files")]
    pub environments: bool,
}

/// Arguments of `lock`.
#[derive(Debug, Args)]
pub struct LockArguments {
    #[command(flatten)]
    project: ProjectArguments,
    /// Write nothing; fail if a lock is stale or missing.
    #[arg(long, conflicts_with_all = ["upgrade", "upgrade_package"])]
    pub check: bool,
    /// Lock anew, without preferring the versions of the old lock.
    #[arg(long)]
    upgrade: bool,
    #[command(flatten)]
    pub report: ReportArguments,
}

impl ProjectArguments {
    /// Low-level arguments turned once into what the pipeline works with. An error is a message about usage.
    fn options(&self) -> Result<Options, String> {
        let base = match &self.base {
            Some(text) => Some(text.parse::<Source>().map_err(|error| format!("--base: {error}"))?),
            None => None,
        };
        let jobs = match self.jobs {
            Some(jobs) => usize::from(jobs),
            None => std::thread::available_parallelism().map_or(1, usize::from),
        };
        Ok(Options {
            project: self.project.clone(),
            components: self.component.clone(),
            branch: self.branch.clone(),
            base,
            debian: self.debian.options(),
            python: self.python,
            isolated: self.isolated,
            python_archives: self.python_archive.clone(),
            platforms: self.platform.iter().copied().collect::<BTreeSet<_>>().into_iter().collect(),
            resolving: self.resolving.resolving()?,
            freshness: Freshness::Update,
            code: CodeOptions::default(),
            delivery: Delivery::default(),
            compression: Compression::default(),
            remote_cache: RemoteCache::default(),
            offline: self.offline,
            plain_http: self.plain_http,
            jobs,
            cache_dir: self.cache.directory()?,
            settings: Settings::default(),
            created: source_date_epoch()?,
        })
    }
}

impl BuildArguments {
    /// See [`ProjectArguments::options`].
    pub fn options(&self) -> Result<Options, String> {
        let mut options = self.project.options()?;
        options.freshness = match (self.locked, self.frozen, self.upgrade) {
            (true, ..) => Freshness::Require,
            (_, true, _) => Freshness::Ignore,
            (.., true) => Freshness::Upgrade,
            _ => Freshness::Update,
        };
        options.code = CodeOptions { gitignore: self.code.gitignore, libraries: self.code.library.clone() };
        let outputs = self.output.iter().map(|output| output.parse::<Output>());
        let outputs = outputs.collect::<Result<Vec<_>, _>>().map_err(|error| format!("--output {error}"))?;
        let labels = self.label.iter().map(|label| match label.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(format!("--label {label}: expected KEY=VALUE")),
        });
        // The image of one of several platforms has the architecture in its tag.
        let longest = if options.platforms.len() > 1 { 128 - "-amd64".len() } else { 128 };
        for tag in &self.tag {
            let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.' || c == '-';
            if tag.is_empty() || tag.len() > longest || !tag.chars().all(legal) || tag.starts_with(['.', '-'])
            {
                return Err(format!(
                    "--tag {tag}: a tag has 1 to {longest} letters, digits, `_`, `.` and `-`"
                ));
            }
        }
        let docker =
            outputs.iter().find(|output| matches!(output, Output::Archive(ArchiveFormat::Docker, _)));
        if let Some(output) = docker {
            if options.platforms.len() > 1 {
                return Err(format!(
                    "--output {output}: such an archive holds one platform; name one with --platform, or write an oci-archive:"
                ));
            }
            if self.compression == Compression::Zstd {
                return Err(format!(
                    "--output {output}: such an archive has no zstd layers; write an oci-archive:, or leave out --compression zstd"
                ));
            }
        }
        options.compression = self.compression;
        options.delivery = Delivery {
            push: self.push.as_ref().map(|prefix| prefix.trim_end_matches('/').to_owned()),
            outputs,
            tags: self.tag.clone(),
            labels: labels.collect::<Result<_, _>>()?,
        };
        options.settings = self.settings()?;
        options.remote_cache = RemoteCache {
            off: self.no_remote_cache,
            repository: self.cache_repo.clone(),
            verify: self.verify_cache,
            key: cache_key()?,
        };
        Ok(options)
    }
}

impl BuildArguments {
    /// How images run.
    fn settings(&self) -> Result<Settings, String> {
        let mut settings = Settings::default();
        let wrong = |flag: &str, text: &str, why: String| format!("--{flag} {text}: {why}");
        if let Some(user) = &self.user {
            settings.set_user(user).map_err(|why| wrong("user", user, why))?;
        }
        if let Some(directory) = &self.workdir {
            settings.set_working_dir(directory).map_err(|why| wrong("workdir", directory, why))?;
        }
        for variable in &self.env {
            // The value may be a secret: it is not repeated.
            let (name, value) = variable.split_once('=').ok_or("--env: expected NAME=VALUE")?;
            settings.set_variable(name, value).map_err(|why| wrong("env", name, why))?;
        }
        if let Some(text) = &self.entrypoint {
            let command = Settings::command_line(text).map_err(|why| wrong("entrypoint", text, why))?;
            settings.entrypoint = Some(command);
        }
        if let Some(text) = &self.cmd {
            settings.command = Some(Settings::command_line(text).map_err(|why| wrong("cmd", text, why))?);
        }
        for port in &self.expose {
            settings.add_port(port).map_err(|why| wrong("expose", port, why))?;
        }
        if let Some(signal) = &self.stop_signal {
            settings.set_stop_signal(signal).map_err(|why| wrong("stop-signal", signal, why))?;
        }
        Ok(settings)
    }
}

impl LockArguments {
    /// See [`ProjectArguments::options`].
    pub fn options(&self) -> Result<Options, String> {
        let mut options = self.project.options()?;
        if self.upgrade {
            options.freshness = Freshness::Upgrade;
        }
        Ok(options)
    }
}

/// The key of the records, which only the environment gives: arguments are seen by others on the machine.
fn cache_key() -> Result<Option<CacheKey>, String> {
    match std::env::var("BAKEHOUSE_CACHE_KEY") {
        Ok(secret) if !secret.is_empty() => match CacheKey::new(&secret) {
            None => Err("BAKEHOUSE_CACHE_KEY: a key has at least 16 bytes".to_owned()),
            key => Ok(key),
        },
        _ => Ok(None),
    }
}

/// The time stamp of images, in seconds since 1970.
fn source_date_epoch() -> Result<i64, String> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) if !text.is_empty() => {
            text.parse().map_err(|_| format!("SOURCE_DATE_EPOCH: `{text}` is not a number of seconds"))
        }
        _ => Ok(0),
    }
}
