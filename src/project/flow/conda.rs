//! What conda decorators ask for. One set is laid over another by the names as they are written, channels and all.

use super::decorator::Content;
use crate::model::Origin;
use crate::project::{Error, PythonRequest, dependencies};

/// What one place asks for.
#[derive(Debug, Clone, Default)]
pub(super) struct Conda {
    /// Names, match specifications, and where they are.
    pub packages: Vec<(String, String, Origin)>,
    pub python: Option<PythonRequest>,
    pub channels: Option<Vec<String>>,
}

impl Conda {
    pub fn new(content: Content) -> Result<Self, Error> {
        let python =
            content.python.map(|(python, origin)| PythonRequest::parse(&python, origin)).transpose()?;
        let mut this = Self { packages: Vec::new(), python, channels: content.channels };
        for (name, version, origin) in content.packages {
            this.push(&name, &version, origin)?;
        }
        Ok(this)
    }

    fn push(&mut self, name: &str, version: &str, origin: Origin) -> Result<(), Error> {
        let name = name.trim();
        if name == "python" && self.python.is_none() {
            self.python = Some(PythonRequest::parse(version, origin)?);
        } else {
            let package = dependencies::match_spec(name, version, &origin)?;
            self.packages.push((name.to_owned(), package, origin));
        }
        Ok(())
    }

    /// These packages with `over` laid over them.
    pub fn overridden_by(self, over: Self) -> Self {
        let kept = self.packages.into_iter().filter(|(name, ..)| over.packages.iter().all(|o| o.0 != *name));
        Self {
            packages: kept.chain(over.packages.iter().cloned()).collect(),
            python: over.python.or(self.python),
            channels: over.channels.filter(|channels| !channels.is_empty()).or(self.channels),
        }
    }
}
