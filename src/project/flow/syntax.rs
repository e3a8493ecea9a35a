//! Parsing Python without running it: bounded depth, errors with lines.

use std::mem;

use ruff_python_ast::ModModule;
use ruff_python_ast::token::TokenKind;
use ruff_python_parser::{Mode, ParseOptions, lexer, parse_unchecked};
use ruff_text_size::Ranged;

use crate::model::Origin;
use crate::project::Error;
use crate::project::source::Lines;

/// The most bytes of a Python file that is parsed.
const MAX_TEXT: usize = 1024 * 1024;
/// How deep expressions and blocks may nest. Python itself refuses far less.
const MAX_DEPTH: usize = 2000;
const MAX_INDENT: usize = 100;
/// Enough stack to walk and drop a tree of that depth.
const STACK: usize = 64 * 1024 * 1024;

/// Parses `text` and hands its tree to `read`, on a thread whose stack suffices for the deepest tree.
pub(in crate::project) fn with_module<T: Send>(
    file: &str,
    text: &str,
    read: impl FnOnce(&ModModule, &Lines) -> Result<T, Error> + Send,
) -> Result<T, Error> {
    if text.len() > MAX_TEXT {
        return Err(Error::TooLarge { file: file.to_owned(), limit: MAX_TEXT as u64 });
    }
    let syntax =
        |origin, problem: &str| Error::Syntax { origin, language: "Python", problem: problem.to_owned() };
    let mut lexer = lexer::lex(text, Mode::Module);
    if too_deep(std::iter::from_fn(|| Some(lexer.next_token()))) {
        return Err(syntax(Origin::file(file), "it is nested too deeply"));
    }
    std::thread::scope(|scope| {
        let work = || {
            let lines = Lines::new(text);
            let parsed = parse_unchecked(text, ParseOptions::from(Mode::Module));
            if let Some(error) = parsed.errors().first() {
                let origin = Origin::line(file, lines.at(error.location.start().to_usize()));
                let error = syntax(origin, &error.error.to_string());
                // Recovering from errors, the parser may see other tokens than the lexer alone gave. Dropping a tree
                // recurses: one that is too deep for that is given up instead.
                if too_deep(parsed.tokens().iter().map(|token| token.kind())) {
                    mem::forget(parsed);
                }
                return Err(error);
            }
            match parsed.try_into_module() {
                Some(module) => read(module.syntax(), &lines),
                None => Err(syntax(Origin::file(file), "it is not a module")),
            }
        };
        let thread = std::thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, work)
            .map_err(Error::io("start a thread to parse", file))?;
        thread.join().unwrap_or_else(|_| Err(syntax(Origin::file(file), "the parser failed on it")))
    })
}

/// Parses one expression, short enough that its depth is no concern; `None` if it is none.
pub(super) fn expression(text: &str) -> Option<Box<ruff_python_ast::Expr>> {
    const MAX_EXPRESSION: usize = 1000;
    if text.len() > MAX_EXPRESSION {
        return None;
    }
    ruff_python_parser::parse_expression(text).ok().map(|parsed| parsed.into_syntax().body)
}

/// Whether an upper bound of the tree's depth passes the limit. Each operator, bracket and keyword may put what comes
/// before it or after it one level deeper; a comma ends that, but for lambdas.
fn too_deep(tokens: impl Iterator<Item = TokenKind>) -> bool {
    let mut indent = 0_usize;
    // For each open bracket, and for the line itself: what was counted in it, and how much of that is lambdas.
    let mut open = vec![(0_usize, 0_usize)];
    let mut depth = 0_usize;
    for kind in tokens {
        match kind {
            TokenKind::EndOfFile => break,
            TokenKind::Name
            | TokenKind::Int
            | TokenKind::Float
            | TokenKind::Complex
            | TokenKind::String
            | TokenKind::Comment
            | TokenKind::NonLogicalNewline
            | TokenKind::FStringMiddle
            | TokenKind::True
            | TokenKind::False
            | TokenKind::None => {}
            TokenKind::Newline | TokenKind::Indent | TokenKind::Dedent => {
                match kind {
                    TokenKind::Indent => indent += 1,
                    TokenKind::Dedent => indent = indent.saturating_sub(1),
                    _ => {}
                }
                open.truncate(1);
                open[0] = (0, 0);
                depth = 0;
            }
            TokenKind::Comma | TokenKind::Semi => {
                if let Some((count, lambdas)) = open.last_mut() {
                    depth -= *count - *lambdas;
                    *count = *lambdas;
                }
            }
            TokenKind::Rpar | TokenKind::Rsqb | TokenKind::Rbrace => {
                if open.len() > 1 {
                    depth -= open.pop().map_or(0, |(count, _)| count);
                }
            }
            _ => {
                depth += 1;
                if let Some((count, lambdas)) = open.last_mut() {
                    *count += 1;
                    *lambdas += usize::from(kind == TokenKind::Lambda);
                }
                if matches!(kind, TokenKind::Lpar | TokenKind::Lsqb | TokenKind::Lbrace) {
                    open.push((0, 0));
                }
            }
        }
        if depth > MAX_DEPTH || indent > MAX_INDENT {
            return true;
        }
    }
    false
}

/// The line a node begins on.
pub(super) fn line_of(lines: &Lines, node: &impl Ranged) -> u32 {
    lines.at(node.start().to_usize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<usize, Error> {
        with_module("flow.py", text, |module, _| Ok(module.body.len()))
    }

    #[test]
    fn errors_name_the_line() {
        assert_eq!(parse("x = 1\ny = 2\n").unwrap(), 2);
        let error = parse("x = 1\ndef f(:\n  pass\n").unwrap_err();
        assert!(error.to_string().starts_with("flow.py:2: not valid Python: "), "{error}");
    }

    #[test]
    fn no_nesting_overflows_the_stack() {
        let n = 60_000;
        for text in [
            format!("x = {}1{}", "(".repeat(n), ")".repeat(n)),
            format!("x = {}", "(".repeat(n)),
            format!("x = {}1", "-".repeat(n)),
            format!("x = {}1", "not ".repeat(n)),
            format!("x = 1{}", "+1".repeat(n)),
            format!("x = a{}", ".b".repeat(n)),
            format!("x = a{}", "()".repeat(n)),
            format!("x = a{}", "[1,2]".repeat(n)),
            format!("x = {}1", "lambda a,b:".repeat(n)),
            format!("x = {}1", "a if b else ".repeat(n)),
            format!("x = {}", "f'{".repeat(n)),
            format!("x = {}1{}", "{1:".repeat(n), "}".repeat(n)),
            format!("x = 1{}", "**1".repeat(n)),
            format!("x = f'{{x' {}1'", "-".repeat(n)),
            format!("x = f'{{x' {}1'", "(".repeat(n)),
            format!("x = f'{{x:'''{}1'", "(".repeat(n)),
            format!("x = (f'{{x' {}\n{}", "(".repeat(n), "-".repeat(n)),
            (0..1200).map(|d| format!("{}if x:\n", " ".repeat(d))).collect(),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(matches!(error, Error::Syntax { .. }), "{error}");
        }
    }

    #[test]
    fn long_and_flat_code_is_fine() {
        let n = 20_000;
        for text in [
            format!("x = [{}]", "f(1 + 2, -a.b),".repeat(n)),
            format!("x = {{{}}}", "'a': 'b',".repeat(n)),
            format!("x = ({})", "'a' ".repeat(n)),
            "x = -1; y = a.b\n".repeat(n),
            format!("x = 1{}", " + 1".repeat(900)),
            format!("x = {}1{}", "(".repeat(200), ")".repeat(200)),
        ] {
            assert!(parse(&text).is_ok());
        }
    }
}
