//! `entry_points.txt`: the commands a distribution offers (the entry points specification).

use std::collections::HashSet;

/// A command that calls an object of the distribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryPoint {
    /// The command's file name.
    pub name: String,
    /// The module to import, dotted.
    pub module: String,
    /// The object to call, dotted, relative to the module.
    pub attribute: String,
}

impl EntryPoint {
    /// A command from its name and its object reference, `MODULE:ATTRIBUTE [EXTRAS]`; `None` if they make no command.
    pub fn parse(name: &str, reference: &str) -> Option<Self> {
        (!name.contains('=')).then(|| parse_script(&format!("{name}={reference}")))?
    }

    /// The script that runs it. A distribution cannot bring code in here: module and attribute are dotted names.
    pub fn script(&self, python: &str) -> String {
        let Self { module, attribute, .. } = self;
        let object = attribute.split('.').next().unwrap_or(attribute);
        format!(
            "#!{python}\n\
             import sys\n\
             \n\
             from {module} import {object}\n\
             \n\
             if __name__ == \"__main__\":\n    \
                 for suffix in (\"-script.pyw\", \".exe\"):\n        \
                     if sys.argv[0].endswith(suffix):\n            \
                         sys.argv[0] = sys.argv[0][: -len(suffix)]\n    \
                 sys.exit({attribute}())\n"
        )
    }
}

/// Reads the console and GUI scripts, which are the same thing on Linux; other groups are for programs to look up.
pub(super) fn parse(text: &str) -> Result<Vec<EntryPoint>, String> {
    let mut scripts = Vec::new();
    let mut seen = HashSet::new();
    let mut relevant = false;
    for line in text.lines() {
        let content = line.trim();
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        if let Some(section) = content.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            relevant = matches!(section, "console_scripts" | "gui_scripts");
        } else if relevant {
            let bad = || {
                format!("`entry_points.txt` has `{}`, which is no command", super::error::printable(content))
            };
            // An indented line would continue the value above it, and no command has two lines.
            if line.starts_with([' ', '\t']) {
                return Err(bad());
            }
            let script = parse_script(content).ok_or_else(bad)?;
            if !seen.insert(script.name.clone()) {
                return Err(format!(
                    "`entry_points.txt` has `{}` twice",
                    super::error::printable(&script.name)
                ));
            }
            scripts.push(script);
        }
    }
    Ok(scripts)
}

/// Reads `NAME = MODULE:ATTRIBUTE [EXTRAS]`; extras are of no use once a distribution is installed.
fn parse_script(text: &str) -> Option<EntryPoint> {
    let (name, value) = text.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let value = match value.split_once('[') {
        Some((value, extras)) => {
            let extras = extras.strip_suffix(']')?;
            let fine = |c: char| c.is_alphanumeric() || " ,_-.".contains(c);
            extras.chars().all(fine).then_some(value.trim())?
        }
        None => value,
    };
    let (module, attribute) = value.split_once(':')?;
    let (module, attribute) = (module.trim(), attribute.trim());
    let safe = super::unsafe_path(name).is_none() && !name.contains(['/', '\\']);
    (safe && is_dotted_name(module) && is_dotted_name(attribute)).then(|| EntryPoint {
        name: name.to_owned(),
        module: module.to_owned(),
        attribute: attribute.to_owned(),
    })
}

/// Dots between words. A hyphen makes no working command, but no harm either, and other installers let it pass.
fn is_dotted_name(text: &str) -> bool {
    text.split('.')
        .all(|part| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_with_extras_and_comments_around_them() {
        let text = "# comment\n[console_scripts]\na = m:f\nb=m.n : C.run [x, y]\n; other\n\n[gui_scripts]\ng = m:g\n\
                    [pytest11]\nx = anything at all\n";
        let scripts = parse(text).unwrap();
        let flat: Vec<_> = scripts.iter().map(|s| (&*s.name, &*s.module, &*s.attribute)).collect();
        assert_eq!(flat, [("a", "m", "f"), ("b", "m.n", "C.run"), ("g", "m", "g")]);
        assert!(scripts[1].script("/p").contains("from m.n import C\n"));
        assert!(scripts[1].script("/p").ends_with("    sys.exit(C.run())\n"));
    }

    #[test]
    fn a_command_cannot_bring_in_a_path_or_code() {
        for bad in [
            "../x = m:f",
            "a/b = m:f",
            ".wh.a = m:f",
            "a\\b = m:f",
            " = m:f",
            "a = m",
            "a = m:f()",
            "a = m:f; import os",
            "a = m:f [x] y",
            "a = m.:f",
            "a: m:f",
            "a = m:f\n  continued",
            "a = m:f\na = m:g",
        ] {
            assert!(parse(&format!("[console_scripts]\n{bad}\n")).is_err(), "{bad}");
        }
    }
}
