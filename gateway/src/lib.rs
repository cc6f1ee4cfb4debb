//! fabric-gateway
