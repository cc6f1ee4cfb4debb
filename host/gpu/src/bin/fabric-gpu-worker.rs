//! The GPU worker alone, for tests and benches of this crate; the product's is a hidden command of `fabric`.

fn main() -> std::process::ExitCode {
    fabric_gpu::worker_main().into()
}
