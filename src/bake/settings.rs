//! How an image runs: what the command line, the project and the base say, and what a user who is not root needs.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Error;
use super::context::Context;
use super::locks::Locked;
use crate::base::{Account, Base, Contents};
use crate::layer::{FileEntry, FileKind, PREFIX};
use crate::model::Warning;
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
    /// What is inside the base: where its links lead.
    base: Arc<Base>,
}

impl Running {
    /// What counts for a component on a base.
    pub fn new(context: &Context<'_>, component: &Component, base: &Arc<Base>) -> Result<Self, Error> {
        let settings = context.options.settings.clone().over(component.run.settings.clone());
        let working_dir = settings.working_dir.clone().unwrap_or_else(|| component.run.working_dir.clone());
        let user = settings.user.as_deref().or(base.image.user()).unwrap_or("root");
        let Contents { accounts, groups, .. } = &base.contents;
        let account = account(user, accounts, groups).map_err(|(what, name)| Error::UnknownUser {
            what,
            user: name.to_owned(),
            base: base.name.clone(),
            known: match what {
                "user" => accounts.iter().map(|account| account.name.clone()).collect(),
                _ => groups.keys().cloned().collect(),
            },
        })?;
        let account = Some(account).filter(|account| account.uid != 0);
        Ok(Self { settings, working_dir, account, base: Arc::clone(base) })
    }

    /// The directories that must be there, and be the user's own: the working directory, the home, a place for
    /// temporary files. What lies in them is root's, and cannot be changed.
    pub fn directories(&self) -> Vec<FileEntry> {
        // A directory where the base has a link would hide what the link leads to.
        let path = |path: &str| self.base.contents.resolve(path).trim_matches('/').to_owned();
        let directory = |at: &str, kind: FileKind| FileEntry { path: path(at), kind };
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
        if !entries.iter().any(|entry| entry.path == path(&self.working_dir)) {
            entries.push(directory(&self.working_dir, working_dir));
        }
        entries.retain(|entry| !entry.path.is_empty());
        entries
    }

    /// A warning for each of our directories that the base has as a link: the image has a directory there.
    pub fn replaced_links(&self) -> impl Iterator<Item = Warning> {
        let links = &self.base.contents.links;
        let ours =
            ["/opt", "/opt/venv", "/app"].into_iter().filter_map(|path| Some((path, links.get(path)?)));
        ours.map(|(path, target)| {
            Warning::general(format!(
                "{path} leads to {target} in the base image, and is a directory of its own now"
            ))
        })
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

/// Who a user is, by what the base knows; the error is what it does not know, `user` or `group`, and its name. A number need
/// not be known: such users have no home, and are in the group 0, as runtimes have it.
fn account<'u>(
    user: &'u str,
    known: &[Account],
    groups: &BTreeMap<String, u32>,
) -> Result<Account, (&'static str, &'u str)> {
    let (user, group) = user.split_once(':').map_or((user, None), |(user, group)| (user, Some(group)));
    let number = user.parse::<u32>().ok();
    let found = known.iter().find(|account| account.name == user || Some(account.uid) == number).cloned();
    let mut account = match (found, number) {
        (Some(account), _) => account,
        (None, Some(uid)) => Account { name: String::new(), uid, gid: 0, home: None },
        // In a base without users, root is who runs things all the same.
        (None, None) if user == "root" => Account { name: user.to_owned(), uid: 0, gid: 0, home: None },
        (None, None) => return Err(("user", user)),
    };
    if let Some(group) = group {
        let known = groups.get(group).copied().or_else(|| group.parse().ok());
        // In a base without groups, root's is there all the same.
        let known = known.or_else(|| (group == "root").then_some(0));
        account.gid = known.ok_or(("group", group))?;
    }
    Ok(account)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_number() {
        let app = Account { name: "app".into(), uid: 1001, gid: 1002, home: Some("/home/app".into()) };
        let known = [app.clone()];
        let groups = BTreeMap::from([("staff".to_owned(), 50)]);
        let ids = |user: &str| account(user, &known, &groups).ok().map(|account| (account.uid, account.gid));
        assert_eq!(ids("app"), Some((1001, 1002)));
        assert_eq!(ids("1001"), Some((1001, 1002)));
        assert_eq!(ids("1001:7"), Some((1001, 7)));
        assert_eq!(ids("app:staff"), Some((1001, 50)));
        assert_eq!(ids("1001:root"), Some((1001, 0)));
        assert_eq!(account("app:wheel", &known, &groups).unwrap_err(), ("group", "wheel"));
        assert_eq!(ids("1234"), Some((1234, 0)));
        assert_eq!(ids("root"), Some((0, 0)));
        assert_eq!(ids("nobody"), None);
    }
}
