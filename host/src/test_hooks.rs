//! Hooks for tests in which a guest crashes its host. They exist only in debug builds and only if `FABRIC_TEST_HOOKS`
//! is set: a guest that logs `fabric-test-hook: abort` ends the process, and one that logs `fabric-test-hook: panic`
//! makes its host panic.

use std::sync::LazyLock;

static ON: LazyLock<bool> = LazyLock::new(|| std::env::var_os("FABRIC_TEST_HOOKS").is_some());

/// Runs the hook that a line of a guest's log names.
pub(crate) fn line(text: &str) {
    if !*ON || !text.contains("fabric-test-hook: ") {
        return;
    }
    if text.contains("fabric-test-hook: abort") {
        std::process::abort();
    }
    if text.contains("fabric-test-hook: panic") {
        std::panic::resume_unwind(Box::new("a guest of a test asked for it"));
    }
}
