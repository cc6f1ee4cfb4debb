//! Paths that more than one layer tells apart: synchronous calls, http functions, and the server's own status.

/// The path prefix of all http functions.
pub(crate) const FUNCTIONS_PREFIX: &str = "/f/";
/// The route of requests to http functions in the metrics.
pub(crate) const FUNCTIONS_ROUTE: &str = "/f/{tenant}/{function}/{*path}";
/// The route of synchronous calls. Its caller may disconnect at any time.
pub(crate) const INVOKE_ROUTE: &str = "/v1/functions/{f}/invoke";

/// Returns `true` if a path has the route [`INVOKE_ROUTE`].
pub(crate) fn is_invoke(path: &str) -> bool {
    path.strip_prefix("/v1/functions/")
        .and_then(|rest| rest.strip_suffix("/invoke"))
        .is_some_and(|f| !f.is_empty() && !f.contains('/'))
}

/// Returns `true` for the paths of the server's own status, which monitoring reads every few seconds.
pub(crate) fn is_status(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | "/metrics")
}
