//! Where the program is.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The `signoff` binary of the profile that the caller itself was built with. What builds the tests builds it before; only where it is not there at
/// all it is built now.
pub fn binary() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(find).clone()
}

fn find() -> PathBuf {
    let me = std::env::current_exe().expect("a process knows its executable");
    // Tests lie in `deps` below the profile's directory, programs in it.
    let profile = me.ancestors().skip(1).find(|directory| !directory.ends_with("deps")).expect("it lies somewhere");
    let path = profile.join("signoff");
    if !path.exists() {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "-p", "signoff"]);
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        let built = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs");
        assert!(built.success() && path.exists(), "`cargo build -p signoff` made no {}", path.display());
    }
    path
}
