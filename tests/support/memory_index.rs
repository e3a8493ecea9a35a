//! An index in memory: packages, versions and requirements as a test states them.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bakehouse::index::{CoreMetadata, Metadata, ReleaseFile, Releases};
use bakehouse::model::{Archive, ArchiveKind, Digest, ExtraName, PackageName, Version};
use bakehouse::resolve::{Choose, Fault, Source};
use url::Url;

type Pep508 = pep508_rs::Requirement<Url>;

/// One version of a package.
#[derive(Debug, Clone)]
pub struct Release {
    pub requires: Vec<String>,
    pub extras: BTreeMap<String, Vec<String>>,
    pub requires_python: Option<String>,
    pub yanked: Option<String>,
    pub wheel_tags: Vec<String>,
    pub sdist: bool,
    /// When it was uploaded.
    pub uploaded: Option<String>,
    /// The metadata cannot be read, for this reason.
    pub broken: Option<String>,
}

impl Default for Release {
    fn default() -> Self {
        Self {
            requires: Vec::new(),
            extras: BTreeMap::new(),
            requires_python: None,
            yanked: None,
            wheel_tags: vec!["py3-none-any".to_owned()],
            sdist: true,
            uploaded: None,
            broken: None,
        }
    }
}

/// The index; counts what it is asked.
#[derive(Debug, Default)]
pub struct MemoryIndex {
    packages: BTreeMap<PackageName, Arc<Releases>>,
    metadata: BTreeMap<String, Result<Arc<Metadata>, String>>,
    direct: BTreeMap<String, String>,
    /// The file names whose metadata was asked for, in order.
    pub asked: Mutex<Vec<String>>,
    /// Those whose metadata was announced, with the number of those asked for until then.
    announced: Mutex<BTreeMap<String, usize>>,
    /// Those that were announced, if at all, only when nothing but they could be asked for next.
    pub late: Mutex<Vec<String>>,
}

impl MemoryIndex {
    /// An index of `("name version", ["requirement", …])` pairs.
    pub fn of(packages: &[(&str, &[&str])]) -> Self {
        let mut index = Self::default();
        for (package, requires) in packages {
            let (name, version) = package.split_once(' ').unwrap();
            let requires = requires.iter().map(|&text| text.to_owned()).collect();
            index.add(name, version, Release { requires, ..Release::default() });
        }
        index
    }

    /// Adds a version.
    pub fn add(&mut self, name: &str, version: &str, release: Release) -> &mut Self {
        let package: PackageName = name.parse().unwrap();
        let parsed: Version = version.parse().unwrap();
        let escaped = package.to_string().replace('-', "_");
        let mut names: Vec<String> =
            release.wheel_tags.iter().map(|tags| format!("{escaped}-{version}-{tags}.whl")).collect();
        if release.sdist {
            names.push(format!("{escaped}-{version}.tar.gz"));
        }

        let mut requires_dist: Vec<Pep508> =
            release.requires.iter().map(|text| text.parse().unwrap()).collect();
        let mut provides_extras = Vec::new();
        for (extra, requirements) in &release.extras {
            let extra: ExtraName = extra.parse().unwrap();
            for text in requirements {
                requires_dist.push(text.parse::<Pep508>().unwrap().with_extra_marker(&extra));
            }
            provides_extras.push(extra);
        }
        let requires_python = release.requires_python.as_ref().map(|text| text.parse().unwrap());
        let metadata = Arc::new(Metadata {
            name: package.clone(),
            version: parsed.clone(),
            requires_dist: requires_dist.into_iter().map(Arc::new).collect(),
            requires_python: requires_python.clone(),
            provides_extras,
        });

        let files = names.iter().map(|file_name| {
            let metadata = match &release.broken {
                Some(why) => Err(why.clone()),
                None => Ok(Arc::clone(&metadata)),
            };
            self.metadata.insert(file_name.clone(), metadata);
            ReleaseFile {
                name: package.clone(),
                version: parsed.clone(),
                archive: archive(file_name),
                requires_python: requires_python.clone(),
                yanked: release.yanked.clone(),
                upload_time: release.uploaded.as_deref().and_then(bakehouse::model::Timestamp::from_rfc3339),
                core_metadata: CoreMetadata::Absent,
            }
        });
        let files: Vec<ReleaseFile> = files.collect();
        let releases = self.packages.entry(package.clone()).or_insert_with(|| {
            Arc::new(Releases {
                name: package,
                index: "https://index.example/simple/".parse().unwrap(),
                versions: BTreeMap::new(),
                elsewhere: BTreeMap::new(),
                earlier_index_first: false,
            })
        });
        Arc::make_mut(releases).versions.insert(parsed, files.into());
        self
    }

    /// Offers a file of the index at a direct URL as well.
    pub fn at_url(&mut self, url: &str, file_name: &str) -> &mut Self {
        self.direct.insert(url.to_owned(), file_name.to_owned());
        self
    }
}

fn archive(file_name: &str) -> Archive {
    let kind = match file_name.parse() {
        Ok(wheel) => ArchiveKind::Wheel(wheel),
        Err(_) => ArchiveKind::Sdist,
    };
    Archive {
        kind,
        file_name: file_name.to_owned(),
        url: format!("https://files.example/{file_name}").parse().unwrap(),
        size: Some(1000),
        sha256: Some(Digest::of(file_name.as_bytes())),
    }
}

impl Source for MemoryIndex {
    fn releases(&self, name: &PackageName) -> Result<Arc<Releases>, Fault> {
        self.packages.get(name).cloned().ok_or(Fault::UnknownPackage)
    }

    fn metadata(&self, file: &ReleaseFile) -> Result<Arc<Metadata>, Fault> {
        let file_name = &file.archive.file_name;
        let mut asked = self.asked.lock().unwrap();
        if self.announced.lock().unwrap().get(file_name).is_none_or(|&when| when == asked.len()) {
            self.late.lock().unwrap().push(file_name.clone());
        }
        asked.push(file_name.clone());
        self.metadata[&file.archive.file_name].clone().map_err(Fault::Unusable)
    }

    fn direct(&self, _: &PackageName, url: &Url) -> Result<(Archive, Arc<Metadata>), Fault> {
        let mut bare = url.clone();
        bare.set_fragment(None);
        let unusable = || Fault::Unusable("there is nothing".to_owned());
        let file_name = self.direct.get(bare.as_str()).ok_or_else(unusable)?;
        let metadata = self.metadata[file_name].clone().map_err(Fault::Unusable)?;
        Ok((Archive { url: bare, ..archive(file_name) }, metadata))
    }

    fn expect_releases(&self, name: &PackageName, choose: Choose) {
        if let Some(file) = self.packages.get(name).and_then(choose) {
            self.expect_metadata(vec![file]);
        }
    }

    fn known_metadata(&self, file: &ReleaseFile) -> Option<Arc<Metadata>> {
        let file_name = &file.archive.file_name;
        let is_known = self.announced.lock().unwrap().contains_key(file_name);
        self.metadata.get(file_name).filter(|_| is_known)?.clone().ok()
    }

    fn expect_metadata(&self, files: Vec<ReleaseFile>) {
        let asked = self.asked.lock().unwrap().len();
        let mut announced = self.announced.lock().unwrap();
        for file in files {
            announced.entry(file.archive.file_name).or_insert(asked);
        }
    }
}
