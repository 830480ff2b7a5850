//! Where checkpoints of the audit trail are kept, and what signs them: ECDSA on P-256 with SHA-256, as AWS KMS does with a key `ECC_NIST_P256`, so
//! that both are verified alike.

mod bucket;
mod calls;
mod file;
mod key;

pub use bucket::BucketCheckpoints;
pub use calls::Aws;
pub use file::FileNotary;
pub use key::{BadKey, SigningKey, VerifyingKey};
