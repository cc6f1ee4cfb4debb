//! fabric-engine
