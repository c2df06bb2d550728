//! MCP over Streamable HTTP, for `http` to mount behind its check of who calls. Host and Origin are checked here too.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use parking_lot::Mutex;
use peerkit::Error;
use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};
use rmcp::transport::streamable_http_server::session::local::{LocalSessionManager, SessionConfig};
use rmcp::transport::streamable_http_server::session::{
    ServerSseMessage, SessionId, SessionManager,
};
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};

use super::server::Server;
use crate::guard::Guarded;
use crate::threads::Threads;

/// The longest request.
const MAX_BODY: usize = 1 << 20;
/// Sessions at once; the one that was used longest ago ends where another begins.
const MAX_SESSIONS: usize = 64;
/// The time that a session may be idle: an agent may well pause, and sessions are few.
const IDLE: Duration = Duration::from_secs(3600);

/// A tower service for any method and path, to be mounted with `Router::route_service`.
pub type HttpService = StreamableHttpService<Server, Sessions>;

/// Ends all sessions and streams, at shutdown.
pub type End = Box<dyn Fn() + Send + Sync>;

/// The service, and its end.
pub struct Http {
    pub service: HttpService,
    pub end: End,
}

/// Serves a node to callers whose `Host` is one of `hosts` (`name` or `name:port`) and whose `Origin`, if they have
/// one, is of `origins` (`http://name:port`).
pub fn http_service(
    node: Arc<Guarded>,
    threads: Threads,
    hosts: &[String],
    origins: &[String],
) -> Result<Http, Error> {
    let server = Server::new(node, threads)?;
    let config = StreamableHttpServerConfig::default()
        .with_allowed_hosts(hosts)
        .with_allowed_origins(origins)
        .enforce_origin_validation()
        .with_max_request_body_bytes(MAX_BODY);
    let token = config.cancellation_token.clone();
    let service = StreamableHttpService::new(move || Ok(server.clone()), Arc::default(), config);
    Ok(Http { service, end: Box::new(move || token.cancel()) })
}

/// The sessions of clients, a bounded number of them.
pub struct Sessions {
    all: LocalSessionManager,
    /// Those there may be, the one used longest ago first.
    by_use: Mutex<VecDeque<SessionId>>,
}

type Failure = <LocalSessionManager as SessionManager>::Error;

impl Default for Sessions {
    fn default() -> Self {
        let mut config = SessionConfig::default();
        config.keep_alive = Some(IDLE);
        let mut all = LocalSessionManager::default();
        all.session_config = config;
        Sessions { all, by_use: Mutex::default() }
    }
}

impl Sessions {
    fn used(&self, id: &SessionId) {
        let mut by_use = self.by_use.lock();
        if let Some(at) = by_use.iter().position(|known| known == id) {
            by_use.remove(at);
            by_use.push_back(Arc::clone(id));
        }
    }

    /// Takes out the sessions that there are too many of, with one more to come.
    fn too_many(&self) -> Vec<SessionId> {
        let mut by_use = self.by_use.lock();
        let many = (by_use.len() + 1).saturating_sub(MAX_SESSIONS);
        by_use.drain(..many).collect()
    }
}

impl SessionManager for Sessions {
    type Error = Failure;
    type Transport = <LocalSessionManager as SessionManager>::Transport;

    async fn create_session(&self) -> Result<(SessionId, Self::Transport), Failure> {
        for id in self.too_many() {
            // Its client begins a new one, if there still is one.
            let _ = self.all.close_session(&id).await;
        }
        let (id, transport) = self.all.create_session().await?;
        self.by_use.lock().push_back(Arc::clone(&id));
        Ok((id, transport))
    }

    async fn initialize_session(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, Failure> {
        self.all.initialize_session(id, message).await
    }

    async fn has_session(&self, id: &SessionId) -> Result<bool, Failure> {
        self.all.has_session(id).await
    }

    async fn close_session(&self, id: &SessionId) -> Result<(), Failure> {
        self.by_use.lock().retain(|known| known != id);
        self.all.close_session(id).await
    }

    async fn create_stream(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Failure> {
        self.used(id);
        self.all.create_stream(id, message).await
    }

    async fn accept_message(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<(), Failure> {
        self.used(id);
        self.all.accept_message(id, message).await
    }

    async fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Failure> {
        self.used(id);
        self.all.create_standalone_stream(id).await
    }

    async fn resume(
        &self,
        id: &SessionId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Failure> {
        self.used(id);
        self.all.resume(id, last_event_id).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_too_many_sessions_the_one_used_longest_ago_ends() {
        let sessions = Sessions::default();
        let mut ids = Vec::new();
        let mut transports = Vec::new();
        for _ in 0..MAX_SESSIONS {
            let (id, transport) = sessions.create_session().await.unwrap();
            ids.push(id);
            transports.push(transport);
        }
        sessions.used(&ids[0]);
        transports.push(sessions.create_session().await.unwrap().1);
        assert!(sessions.has_session(&ids[0]).await.unwrap());
        assert!(!sessions.has_session(&ids[1]).await.unwrap());
        assert_eq!(sessions.by_use.lock().len(), MAX_SESSIONS);
        sessions.close_session(&ids[2]).await.unwrap();
        assert_eq!(sessions.by_use.lock().len(), MAX_SESSIONS - 1);
    }
}
