//! The `imgmake` program: everything is in the library.

fn main() -> std::process::ExitCode {
    // Before anything else: a process that was re-executed as a helper must not
    // have threads when it enters its namespaces.
    imgmake::build::worker::reexec_entry();
    imgmake::cli::main()
}
