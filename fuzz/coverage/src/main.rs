//! One target under libFuzzer: the one that `SIGNOFF_FUZZ_TARGET` names.

#![no_main]

use std::sync::OnceLock;

use signoff_fuzz::Target;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    static TARGET: OnceLock<Target> = OnceLock::new();
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("SIGNOFF_FUZZ_TARGET").unwrap_or_default();
        signoff_fuzz::target(&name).unwrap_or_else(|| panic!("SIGNOFF_FUZZ_TARGET names no target: {name:?}"))
    });
    (target.run)(bytes);
});
