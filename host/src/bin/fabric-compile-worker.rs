//! The sandbox's worker processes as a standalone program, for tests and benches. The product runs them as hidden
//! commands of `fabric`.

fn main() -> std::process::ExitCode {
    if std::env::args_os().nth(1).is_some_and(|arg| arg == "gpu") {
        return fabric_host::gpu_worker_main().into();
    }
    fabric_host::compile_worker_main().into()
}
