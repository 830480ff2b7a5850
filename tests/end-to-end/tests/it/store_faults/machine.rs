//! A machine that plays tricks on the gate's process: its clock is set, its disk is full or broken.

use std::path::{Path, PathBuf};
use std::process::Command;

use signoff_tests::{Gate, Setup};

/// No space is left on the device (ENOSPC).
pub(crate) const FULL: i32 = 28;
/// The device fails (EIO).
pub(crate) const FAILING: i32 = 5;
/// All is well.
pub(crate) const FINE: i32 = 0;

/// What plays the tricks.
#[derive(Debug)]
pub(crate) struct Machine {
    orders: PathBuf,
}

impl Machine {
    /// Starts a gate on such a machine; none, said on standard error, where there is no C compiler to build it with.
    pub(crate) async fn start(setup: Setup) -> Option<(Gate, Self)> {
        let directory = std::env::temp_dir().join(format!("signoff-machine-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory can be made");
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let library = directory.join(format!("machine-{number}.so"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/store_faults/machine.c");
        let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).status();
        match built {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                super::skip("there is no C compiler to build the tricks of the machine with");
                return None;
            }
            built => assert!(built.expect("the compiler runs").success(), "{} does not compile", source.display()),
        }
        let machine = Self { orders: directory.join(format!("orders-{number}")) };
        machine.set(0, FINE);
        let setup = setup
            .variable("LD_PRELOAD", &library.display().to_string())
            .variable("SIGNOFF_TEST_MACHINE", &machine.orders.display().to_string());
        Some((setup.start().await, machine))
    }

    /// From now on the clock is off by so many seconds, and writing to the store fails like this.
    pub(crate) fn set(&self, clock: i64, disk: i32) {
        // Whoever reads sees the one or the other, never half of it.
        let next = self.orders.with_extension("next");
        std::fs::write(&next, format!("{clock} {disk}\n")).expect("the orders can be written");
        std::fs::rename(&next, &self.orders).expect("the orders can be given");
    }
}
