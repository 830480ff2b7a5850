//! Where a listing goes on: the last request seen, and a check that it is the same listing.

use sha2::{Digest, Sha256};
use signoff_core::names::RequestId;
use ulid::Ulid;

use super::problem::Problem;

/// How many bytes of the listing's hash a cursor carries.
const CHECK: usize = 8;

/// The cursor after `last` in the listing that `listing` describes.
pub(super) fn write(last: RequestId, listing: &str) -> String {
    format!("{}{}", hex::encode(last.ulid().to_bytes()), hex::encode(check(listing)))
}

/// The request that a cursor goes on after.
pub(super) fn read(cursor: &str, listing: &str) -> Result<RequestId, Problem> {
    let id = || {
        let bytes: [u8; 16 + CHECK] = hex::decode(cursor).ok()?.try_into().ok()?;
        let (id, given) = bytes.split_first_chunk::<16>()?;
        (given == check(listing)).then(|| RequestId::new(Ulid::from_bytes(*id)))
    };
    id().ok_or_else(|| {
        Problem::malformed("The cursor is not one of this listing; begin again without it, or keep the parameters.")
    })
}

fn check(listing: &str) -> [u8; CHECK] {
    let hash: [u8; 32] = Sha256::digest(listing).into();
    std::array::from_fn(|n| hash[n])
}
