//! fabric-benches
