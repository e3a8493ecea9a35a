//! The commands of a deployment: exec form where no shell is needed.

use crate::model::split_words;

/// Commands that exist only inside a shell.
const BUILTINS: [&str; 20] = [
    ".", "alias", "bg", "cd", "command", "eval", "exec", "export", "fg", "hash", "pushd", "read", "set",
    "shopt", "source", "trap", "ulimit", "umask", "unset", "wait",
];

/// The command of an image that runs these commands one after another; `None` if there are none.
pub(super) fn command(commands: &[String]) -> Option<Vec<String>> {
    match commands {
        [] => None,
        [only] if let Some(words) = simple_command(only) => Some(words),
        _ => {
            let script = format!("set -eEuo pipefail\n{}", commands.join("\n"));
            Some(vec!["/bin/bash".to_owned(), "-c".to_owned(), script])
        }
    }
}

/// The words of a command that means the same with and without a shell.
fn simple_command(text: &str) -> Option<Vec<String>> {
    if needs_shell(text.trim()) {
        return None;
    }
    let words = split_words(text)?;
    let first = words.first()?;
    (!first.is_empty() && !first.contains('=') && !BUILTINS.contains(&first.as_str())).then_some(words)
}

/// Whether a shell would find anything in the text but words.
fn needs_shell(text: &str) -> bool {
    let mut quote = None;
    let mut escaped = false;
    let mut word_start = true;
    for c in text.chars() {
        if c == '\n' || c == '\r' {
            return true;
        }
        if escaped {
            escaped = false;
            word_start = false;
            continue;
        }
        match quote {
            Some('\'') => quote = (c != '\'').then_some('\''),
            Some(_) => match c {
                '"' => quote = None,
                '\\' => escaped = true,
                '$' | '`' => return true,
                _ => {}
            },
            None => match c {
                '\\' => escaped = true,
                '\'' | '"' => quote = Some(c),
                '|' | '&' | ';' | '<' | '>' | '(' | ')' | '$' | '`' | '*' | '?' | '[' | ']' | '{' | '}' => {
                    return true;
                }
                '#' | '~' | '!' if word_start => return true,
                _ => {}
            },
        }
        word_start = c == ' ' || c == '\t';
    }
    quote.is_some() || escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_simple_command_needs_no_shell() {
        let words = |text: &str| command(&[text.to_owned()]).unwrap();
        assert_eq!(
            words("python -m panel serve app.py --origin=\"*\" --name 'a b' x\\ y"),
            ["python", "-m", "panel", "serve", "app.py", "--origin=*", "--name", "a b", "x y"]
        );
        for shell in [
            "cd x",
            "A=1 python x",
            "a && b",
            "a | b",
            "echo $HOME",
            "echo \"$HOME\"",
            "ls *.py",
            "a > b",
            "a; b",
            "(a)",
            "echo `x`",
            "~/x",
            "a # b",
            "a\nb",
            "echo 'x",
            "a {1,2}",
        ] {
            let words = words(shell);
            assert_eq!(words[..2], ["/bin/bash", "-c"], "{shell}");
            assert_eq!(words[2], format!("set -eEuo pipefail\n{shell}"));
        }
    }

    #[test]
    fn several_commands_run_one_after_another() {
        assert_eq!(command(&[]), None);
        let commands = ["a".to_owned(), "b c".to_owned()];
        assert_eq!(command(&commands).unwrap(), ["/bin/bash", "-c", "set -eEuo pipefail\na\nb c"]);
    }
}
