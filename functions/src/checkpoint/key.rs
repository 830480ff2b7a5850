//! The keys: PKCS #8 and SubjectPublicKeyInfo in PEM, as `openssl` reads and writes them.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

const PRIVATE: &str = "PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";
/// How many digits of a public key's SHA-256 name it.
const NAME: usize = 32;
/// How long the lines of a PEM file are.
const PEM_LINE: usize = 64;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum BadKey {
    /// The file can't be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It holds no such key.
    #[error("{} holds no key on the curve P-256 in PEM (PKCS #8, or a public key)", .0.display())]
    Content(PathBuf),
    /// No key can be made.
    #[error("no key can be made")]
    Random,
}

/// A key that signs checkpoints.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    public: VerifyingKey,
}

/// A public key that says whether checkpoints were signed by its private one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingKey {
    der: Vec<u8>,
    name: String,
}

impl SigningKey {
    /// The key in this file.
    ///
    /// # Errors
    /// If it can't be read, or holds no such key.
    pub fn read(path: &Path) -> Result<Self, BadKey> {
        let text = read(path)?;
        let bad = || BadKey::Content(path.to_owned());
        Self::of(&pem(&text, PRIVATE).ok_or_else(bad)?).ok_or_else(bad)
    }

    /// A fresh key, in a new file that nobody but its owner may read; its public half lies beside it, in a file whose name ends with `.pub`.
    ///
    /// # Errors
    /// If they can't be written, or are there already.
    pub fn create(path: &Path) -> Result<Self, BadKey> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(|_| BadKey::Random)?;
        let document = pair.to_pkcs8v1().map_err(|_| BadKey::Random)?;
        let key = Self::of(document.as_ref()).ok_or(BadKey::Random)?;
        let public = public_file(path);
        write(&public, &text_of(PUBLIC, &key.public.der), 0o644)?;
        // The key appears when it is complete, or not at all.
        let draft = path.with_extension("partial");
        write(&draft, &text_of(PRIVATE, document.as_ref()), 0o600)?;
        std::fs::rename(&draft, path).map_err(|error| BadKey::File { path: path.to_owned(), error })?;
        Ok(key)
    }

    /// Its public half.
    pub fn public(&self) -> &VerifyingKey {
        &self.public
    }

    /// The signature over a message, in hexadecimal; none if there is no randomness.
    pub fn sign(&self, message: &[u8]) -> Option<String> {
        self.pair.sign(&SystemRandom::new(), message).ok().map(hex::encode)
    }

    fn of(pkcs8: &[u8]) -> Option<Self> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8).ok()?;
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().ok()?;
        let public = VerifyingKey::of(der.as_ref().to_vec());
        Some(Self { pair, public })
    }
}

impl VerifyingKey {
    /// The key in this file: a public key, or the public half of a private one.
    ///
    /// # Errors
    /// If it can't be read, or holds no such key.
    pub fn read(path: &Path) -> Result<Self, BadKey> {
        let text = read(path)?;
        let public = pem(&text, PUBLIC).map(Self::of).filter(Self::is_usable);
        let private = || pem(&text, PRIVATE).and_then(|der| SigningKey::of(&der)).map(|key| key.public);
        public.or_else(private).ok_or_else(|| BadKey::Content(path.to_owned()))
    }

    /// The key that this is, a SubjectPublicKeyInfo in DER; `None` if it is none on the curve P-256.
    pub fn from_der(der: Vec<u8>) -> Option<Self> {
        Some(Self::of(der)).filter(Self::is_usable)
    }

    /// Its name: the beginning of its SHA-256.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether its private half made this signature (in hexadecimal) over this message.
    pub fn is_signed(&self, message: &[u8], signature: &str) -> bool {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.der);
        hex::decode(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
    }

    fn of(der: Vec<u8>) -> Self {
        let name = hex::encode(Sha256::digest(&der)).chars().take(NAME).collect();
        Self { der, name }
    }

    fn is_usable(&self) -> bool {
        aws_lc_rs::signature::ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.der).is_ok()
    }
}

/// Where the public half of a key lies.
fn public_file(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

fn read(path: &Path) -> Result<String, BadKey> {
    std::fs::read_to_string(path).map_err(|error| BadKey::File { path: path.to_owned(), error })
}

/// Writes a file anew, with these permissions, and waits until it is on the disk.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), BadKey> {
    let attempt = || -> std::io::Result<()> {
        // What an attempt that was cut short left behind has whatever permissions it has.
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file: File = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    attempt().map_err(|error| BadKey::File { path: path.to_owned(), error })
}

fn text_of(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    let body = STANDARD.encode(der);
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(PEM_LINE));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

fn pem(text: &str, label: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let body: String = body.split_whitespace().collect();
    STANDARD.decode(body).ok()
}
