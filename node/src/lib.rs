//! fabric-node
