//! fabric-client
