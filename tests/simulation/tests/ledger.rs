//! The simulated ledger keeps the contract that the one in DynamoDB keeps: the same tests run on both. What the simulation shows of the gate is worth no more
//! than that.
#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

#[macro_use]
#[path = "../../../functions/tests/ledger/contract/mod.rs"]
mod contract;

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use contract::Place;
use signoff_simulation::ledger::SimLedger;
use signoff_simulation::setup;
use signoff_simulation::world::Shared;

/// A simulated table in a world where nothing goes wrong.
struct Simulated(Shared);

impl Place for Simulated {
    type Ledger = SimLedger;

    async fn open() -> Self {
        let mut world = setup::world(1, false);
        world.calm = true;
        world.plan.index_lag = 0;
        Self(Shared::new(world))
    }

    fn ledger(&self) -> SimLedger {
        SimLedger::new(&self.0, 0)
    }
}

/// Lets a test go on from step to step until it is done. Those who wait for each other in it take turns.
fn play<T>(test: impl Future<Output = T>) -> T {
    let mut test = pin!(test);
    loop {
        if let Poll::Ready(done) = test.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
    }
}

macro_rules! simulated {
    ($module:ident $name:ident) => {
        #[test]
        fn $name() {
            use crate::contract::Place;
            crate::play(async { crate::contract::$module::$name(&crate::Simulated::open().await).await });
        }
    };
}

contract!(simulated);
