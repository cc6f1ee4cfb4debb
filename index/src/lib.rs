//! The index: lists, filters and full-text search over jobs, invocations and logs; rebuilt from the journal when lost.
