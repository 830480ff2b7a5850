//! Programs that others wrote, installed from PyPI once and kept.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The directory of the emulators' programs. Where they can't be had, the tests fail: they are not left out.
pub(crate) fn emulators() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut install = Command::new(root.join("scripts/python-tools.sh"));
    let installed =
        install.arg(root.join("scripts/requirements/emulators.txt")).stderr(Stdio::inherit()).output().unwrap();
    assert!(
        installed.status.success(),
        "the tests of the Lambda functions need the emulator of cargo-lambda and moto from PyPI, and these can't be installed: see above"
    );
    PathBuf::from(String::from_utf8(installed.stdout).unwrap().trim())
}
