//! Simulated Pulumi Cloud.
