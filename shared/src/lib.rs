//! The gate itself.
