//! The `bakehouse` program: parse, run, exit code.

fn main() -> std::process::ExitCode {
    bakehouse::cli::main()
}
