//! The simulated cloud with the organization `acme`, to play with: `cargo run -p pulumi-sim --example acme -- 8788`.

use std::net::SocketAddr;

use pulumi_sim::{Sim, SimConfig, seed};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "it says where it is")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).map_or(Ok(0), |port| port.parse())?;
    let listen = SocketAddr::from(([127, 0, 0, 1], port));
    let sim = Sim::start(SimConfig { listen, ..SimConfig::new(seed::acme(1)) }).await?;
    println!("the simulated Pulumi Cloud is at {}; its tokens are pul-alice, pul-bob, …", sim.url());
    tokio::signal::ctrl_c().await?;
    sim.stop().await;
    Ok(())
}
