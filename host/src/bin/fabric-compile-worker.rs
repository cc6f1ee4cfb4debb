//! The compile worker alone, for tests of this crate; the product's is `fabric compile-worker`.

fn main() -> std::process::ExitCode {
    fabric_host::compile_worker_main().into()
}
