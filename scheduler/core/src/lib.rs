//! fabric-scheduler-core
