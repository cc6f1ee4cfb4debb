//! fabric-tests
