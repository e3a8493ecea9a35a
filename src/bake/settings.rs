//! How an image runs: what the command line, the project and the base say, and what a user who is not root needs.

use std::collections::BTreeMap;

use super::Error;
use super::context::Context;
use super::locks::Locked;
use crate::base::{Account, Base};
use crate::layer::{FileEntry, FileKind, PREFIX};
use crate::project::{Component, Settings};

/// The home of a user who has none in the base.
const HOME: &str = "/home/bakehouse";
/// The name that such a user goes by.
const USER: &str = "bakehouse";

/// How an image runs.
pub struct Running {
    /// What was said, the command line first.
    pub settings: Settings,
    /// The working directory, absolute.
    pub working_dir: String,
    /// Who runs it; `None` for root.
    account: Option<Account>,
}

impl Running {
    /// What counts for a component on a base.
    pub fn new(context: &Context<'_>, component: &Component, base: &Base) -> Result<Self, Error> {
        let settings = context.options.settings.clone().over(component.run.settings.clone());
        let working_dir = settings.working_dir.clone().unwrap_or_else(|| component.run.working_dir.clone());
        let user = settings.user.as_deref().or(base.image.user()).unwrap_or("root");
        let account = account(user, &base.contents.accounts).ok_or_else(|| Error::UnknownUser {
            user: user.to_owned(),
            base: base.name.clone(),
            known: base.contents.accounts.iter().map(|account| account.name.clone()).collect(),
        })?;
        Ok(Self { settings, working_dir, account: Some(account).filter(|account| account.uid != 0) })
    }

    /// The directories that must be there, and be the user's own: the working directory, the home, a place for
    /// temporary files. What lies in them is root's, and cannot be changed.
    pub fn directories(&self) -> Vec<FileEntry> {
        let directory =
            |path: &str, kind: FileKind| FileEntry { path: path.trim_matches('/').to_owned(), kind };
        let mut entries = Vec::new();
        let working_dir = match &self.account {
            None => FileKind::Directory,
            Some(account) => {
                let own = FileKind::Owned { uid: account.uid, gid: account.gid, mode: 0o775 };
                entries.push(directory("/tmp", FileKind::Owned { uid: 0, gid: 0, mode: 0o1777 }));
                if let Some(home) = self.home() {
                    entries.push(directory(home, own.clone()));
                }
                own
            }
        };
        if !entries.iter().any(|entry| entry.path == self.working_dir.trim_matches('/')) {
            entries.push(directory(&self.working_dir, working_dir));
        }
        entries.retain(|entry| !entry.path.is_empty());
        entries
    }

    /// The variables of the image, in their order.
    pub fn env(&self, locked: &Locked<'_>, name: &str, library_path: Option<&str>) -> Vec<(String, String)> {
        let run = &locked.unit.component.run;
        let mut environment = vec![
            ("VIRTUAL_ENV".to_owned(), format!("/{PREFIX}")),
            ("FASTBAKERY_IMAGE".to_owned(), format!("{name}:{}", locked.id)),
        ];
        let python_path: Vec<&str> = run.python_path.iter().map(String::as_str).chain(library_path).collect();
        if !python_path.is_empty() {
            environment.push(("PYTHONPATH".to_owned(), python_path.join(":")));
        }
        if let Some(home) = self.home().filter(|_| !self.settings.env.contains_key("HOME")) {
            environment.push(("HOME".to_owned(), home.to_owned()));
        }
        if self.account.as_ref().is_some_and(|account| account.name.is_empty()) {
            environment.push(("USER".to_owned(), USER.to_owned()));
        }
        environment.extend(self.settings.env.iter().map(|(name, value)| (name.clone(), value.clone())));
        environment
    }

    /// The command: what was said, or else what the component runs by itself.
    pub fn command(&self, component: &Component) -> Option<Vec<String>> {
        self.settings.command.clone().or_else(|| component.run.command.clone())
    }

    /// The labels that were set.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.settings.labels
    }

    /// The home to make: one that the project names, or else ours if the base has none for the user.
    fn home(&self) -> Option<&str> {
        let account = self.account.as_ref()?;
        match self.settings.env.get("HOME") {
            Some(home) => {
                Some(home).filter(|home| home.starts_with('/') && home.len() > 1).map(String::as_str)
            }
            None if account.home.is_some() => None,
            None => Some(HOME),
        }
    }
}

/// Who a user is, by what the base knows; `None` if it knows no such name. A number need not be known: such users have
/// no home, and are in the group 0, as runtimes have it.
fn account(user: &str, known: &[Account]) -> Option<Account> {
    let (user, group) = user.split_once(':').map_or((user, None), |(user, group)| (user, Some(group)));
    let number = user.parse::<u32>().ok();
    let found = known.iter().find(|account| account.name == user || Some(account.uid) == number).cloned();
    let mut account = match (found, number) {
        (Some(account), _) => account,
        (None, Some(uid)) => Account { name: String::new(), uid, gid: 0, home: None },
        // In a base without users, root is who runs things all the same.
        (None, None) if user == "root" => Account { name: user.to_owned(), uid: 0, gid: 0, home: None },
        (None, None) => return None,
    };
    // A group by name owns nothing here: the user does.
    if let Some(gid) = group.and_then(|group| group.parse().ok()) {
        account.gid = gid;
    }
    Some(account)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_number() {
        let app = Account { name: "app".into(), uid: 1001, gid: 1002, home: Some("/home/app".into()) };
        let known = [app.clone()];
        let ids = |user: &str| account(user, &known).map(|account| (account.uid, account.gid));
        assert_eq!(ids("app"), Some((1001, 1002)));
        assert_eq!(ids("1001"), Some((1001, 1002)));
        assert_eq!(ids("1001:7"), Some((1001, 7)));
        assert_eq!(ids("app:staff"), Some((1001, 1002)));
        assert_eq!(ids("1234"), Some((1234, 0)));
        assert_eq!(ids("root"), Some((0, 0)));
        assert_eq!(ids("nobody"), None);
    }
}
