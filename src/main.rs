//! The program `relto`. Everything is in the library.

fn main() -> std::process::ExitCode {
    relto::main()
}
