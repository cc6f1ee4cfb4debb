//! fabric-driver
