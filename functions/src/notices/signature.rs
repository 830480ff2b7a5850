//! Signatures by the Standard Webhooks specification (<https://github.com/standard-webhooks/standard-webhooks>, version 1 of its symmetric scheme).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::secrets::Secret;

/// What such keys begin with.
const PREFIX: &str = "whsec_";
/// How long a key is, in bytes: what the specification asks for.
const KEY_LENGTH: std::ops::RangeInclusive<usize> = 24..=64;

/// A channel's secret is no signing key. The text doesn't show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the secret of a signed webhook is whsec_ and 24 to 64 bytes in base64 (several, with spaces between them, while it is being replaced)"
)]
pub struct BadKey;

/// The keys that sign: one, or several while it is being replaced.
pub struct SigningKeys(Vec<Vec<u8>>);

impl SigningKeys {
    /// The keys in a secret.
    ///
    /// # Errors
    /// If one of them is none.
    pub fn of(secret: &Secret) -> Result<Self, BadKey> {
        let key = |word: &str| {
            let key = STANDARD.decode(word.strip_prefix(PREFIX)?).ok()?;
            KEY_LENGTH.contains(&key.len()).then_some(key)
        };
        let keys: Option<Vec<_>> = secret.expose().split_whitespace().map(key).collect();
        keys.filter(|keys| !keys.is_empty()).map(Self).ok_or(BadKey)
    }

    /// The value of `webhook-signature` for a message with this id, sent at this time (in seconds since 1970), with this body.
    pub fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let signatures = self.0.iter().filter_map(|key| {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
            mac.update(format!("{id}.{seconds}.").as_bytes());
            mac.update(body);
            Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
        });
        signatures.collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Result<SigningKeys, BadKey> {
        SigningKeys::of(&Secret::new(text).unwrap())
    }

    #[test]
    fn the_example_of_the_specification() {
        let keys = keys("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = keys.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_is_no_key_is_refused_and_several_sign_all() {
        for bad in [
            "whsec_",
            "whsec_c2hvcnQ=",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_%%%%",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw x",
        ] {
            assert!(keys(bad).is_err(), "{bad}");
        }
        let two = keys("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw whsec_plJ3nmyCDGBKInavdOK15jsl4Zk5cNxd").unwrap();
        assert_eq!(two.sign("a", 1, b"x").split(' ').count(), 2);
        assert_eq!(format!("{two:?}"), "***");
    }
}
