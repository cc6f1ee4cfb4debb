//! The GPU worker as a program, for tests and benches of this crate. In production the worker is a hidden command of
//! `fabric`.

fn main() -> std::process::ExitCode {
    fabric_gpu::worker_main().into()
}
