//! fabric-host
