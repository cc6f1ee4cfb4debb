//! Addresses that are treated apart from other routes: synchronous calls, and the requests to http functions.

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
