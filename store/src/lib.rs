//! fabric-store
