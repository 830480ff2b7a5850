//! The cloud behind real HTTP.

mod serve;
mod wire;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cloud::{Cloud, Delivery};

/// How a simulated cloud is started.
#[derive(Debug, Clone)]
pub struct SimConfig {
    /// What it starts with.
    pub cloud: Cloud,
    /// Where it listens; port 0 picks a free one.
    pub listen: SocketAddr,
    /// How often its queues move and its webhooks go out.
    pub tick: Duration,
    /// Where links to the console point to; none: to the page of this server.
    pub console_url: Option<String>,
}

impl SimConfig {
    /// That cloud on a free loopback port.
    pub fn new(cloud: Cloud) -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { cloud, listen, tick: Duration::from_millis(20), console_url: None }
    }
}

/// Why it could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The address can't be listened on.
    #[error("the simulated cloud can't listen on {0}: {1}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// The client that sends webhooks can't be made.
    #[error("the simulated cloud can't make its HTTP client: {0}")]
    Client(#[source] reqwest::Error),
}

/// A running simulated cloud; it stops when this is dropped.
#[derive(Debug)]
pub struct Sim {
    cloud: Arc<Mutex<Cloud>>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Sim {
    /// Starts it within the current tokio runtime; when this returns it takes connections.
    pub async fn start(config: SimConfig) -> Result<Self, SimError> {
        let listener = TcpListener::bind(config.listen).await.map_err(|e| SimError::Listen(config.listen, e))?;
        let address = listener.local_addr().map_err(|e| SimError::Listen(config.listen, e))?;
        let mut cloud = config.cloud;
        cloud.console_url = config.console_url.unwrap_or_else(|| format!("http://{address}"));
        let cloud = Arc::new(Mutex::new(cloud));
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(10))
            .no_proxy()
            .build()
            .map_err(SimError::Client)?;
        let (stop, stopped) = watch::channel(false);
        let tasks = vec![
            tokio::spawn(serve::serve(listener, cloud.clone(), stopped.clone())),
            tokio::spawn(tick(cloud.clone(), config.tick, client, stopped)),
        ];
        Ok(Self { cloud, address, stop, tasks })
    }

    /// Its base URL, such as `http://127.0.0.1:40123`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The cloud itself, locked: don't hold it while something has to be answered.
    pub fn cloud(&self) -> MutexGuard<'_, Cloud> {
        lock(&self.cloud)
    }

    /// The moment as the simulation sees it, for actions on [`Sim::cloud`].
    pub fn now(&self) -> Timestamp {
        now()
    }

    /// Stops it, connections included, and gives back the cloud as it was left, to be started again later.
    pub async fn stop(mut self) -> Cloud {
        self.stop.send_replace(true);
        for task in self.tasks.drain(..) {
            // Only a task that panicked gives an error, and there is nothing left to stop then.
            let _ended = task.await;
        }
        lock(&self.cloud).clone()
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        for task in &self.tasks {
            task.abort();
        }
    }
}

pub(crate) fn lock(cloud: &Mutex<Cloud>) -> MutexGuard<'_, Cloud> {
    cloud.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "the one place where the simulation asks the machine for the time")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

async fn tick(cloud: Arc<Mutex<Cloud>>, every: Duration, client: reqwest::Client, mut stopped: watch::Receiver<bool>) {
    let mut interval = tokio::time::interval(every);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
        let due = {
            let (mut cloud, now) = (lock(&cloud), now());
            cloud.tick(now);
            cloud.take_webhooks(now)
        };
        for delivery in due {
            tokio::spawn(deliver(cloud.clone(), client.clone(), delivery));
        }
    }
}

async fn deliver(cloud: Arc<Mutex<Cloud>>, client: reqwest::Client, delivery: Delivery) {
    let sent = now();
    let mut request = client.post(&delivery.url).body(delivery.body);
    for (name, value) in &delivery.headers {
        request = request.header(name, value);
    }
    let (status, answer) = match request.send().await {
        Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap_or_default()),
        Err(error) => {
            tracing::debug!(delivery = delivery.id, %error, "a webhook was not delivered");
            (0, String::new())
        }
    };
    let millis = now().duration_since(sent).as_millis();
    lock(&cloud).webhook_answered(&delivery.id, status, &answer, i64::try_from(millis).unwrap_or(0));
}
