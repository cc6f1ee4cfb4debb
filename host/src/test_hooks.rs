//! What tests may have a guest do to its host, in debug builds alone and only where `FABRIC_TEST_HOOKS` is set: a guest that
//! logs `fabric-test-hook: abort` ends the process, one that logs `fabric-test-hook: panic` has its host panic. No release
//! build has any of it.

use std::sync::LazyLock;

static ON: LazyLock<bool> = LazyLock::new(|| std::env::var_os("FABRIC_TEST_HOOKS").is_some());

/// Looks at a line that a guest logged.
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
