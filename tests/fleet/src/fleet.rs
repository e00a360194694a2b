//! A whole fleet: machines, region and listener, from a spec to the last clean-up.

use crate::deployment::Deployment;
use crate::diskless::Diskless;
use crate::disks::{self, Disks};
use crate::events;
use crate::latency::UnknownOperation;
use crate::machine::{MachineError, Machines};
use crate::region::Region;
use crate::server::{self, Listener};
use crate::spec::Spec;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Why a fleet could not be started.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The address is taken, most likely.
    #[error("failed to listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The machines could not be made.
    #[error("failed to make the region's machines")]
    Machines(#[source] MachineError),
    /// This program's place is not known.
    #[error("failed to find this program's own path")]
    OwnPath(#[source] io::Error),
    /// The spec names an operation that does not exist.
    #[error(transparent)]
    Latency(#[from] UnknownOperation),
}

/// The template that a fleet follows.
#[derive(Debug)]
pub struct DrivenBy {
    /// What it says.
    pub deployment: Deployment,
    /// Whether its rules carry the region's events to the functions.
    pub follows_rules: bool,
}

/// A fleet that serves. Ends well only through [`Fleet::shutdown`].
pub struct Fleet {
    region: Arc<Region>,
    listener: Listener,
    /// Tells rules of events, where there is a rule.
    events: Option<JoinHandle<()>>,
}

impl Fleet {
    /// Makes the machines and begins to serve.
    ///
    /// # Errors
    /// A step failed; nothing stays behind.
    pub async fn start(
        spec: Spec,
        driven_by: Option<DrivenBy>,
        address: SocketAddr,
    ) -> Result<Self, FleetError> {
        let listen = |source| FleetError::Listen { address, source };
        let socket = TcpListener::bind(address).await.map_err(listen)?;
        let endpoint = format!("http://{}", socket.local_addr().map_err(listen)?);
        let launcher = std::env::current_exe().map_err(FleetError::OwnPath)?;
        let (spec, machines) = tokio::task::spawn_blocking(move || machines(&spec).map(|made| (spec, made)))
            .await
            .map_err(|error| FleetError::OwnPath(io::Error::other(error)))??;
        let region = Region::new(&spec, &endpoint, machines, Some(launcher))?;
        let region = Arc::new(match driven_by {
            None => region,
            Some(DrivenBy { deployment, follows_rules }) => region.deployed(deployment, follows_rules),
        });
        let listener = server::listen(socket, server::router(Arc::clone(&region)));
        let has_rules = !region.rules.is_empty() || !region.deployed_rules.is_empty();
        let events = has_rules.then(|| tokio::spawn(events::tell(Arc::clone(&region))));
        Ok(Self { region, listener, events })
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.region.endpoint
    }

    /// Ends it: nothing that it started or made stays.
    pub async fn shutdown(self) {
        drop(self.listener);
        if let Some(events) = self.events {
            events.abort();
        }
        self.region.shutdown().await;
    }
}

fn machines(spec: &Spec) -> Result<Arc<dyn Machines>, FleetError> {
    if !spec.disks {
        return Ok(Arc::new(Diskless::new(spec)));
    }
    let config = disks::Config::from_environment().map_err(FleetError::OwnPath)?;
    Ok(Arc::new(Disks::new(spec, &config).map_err(FleetError::Machines)?))
}
