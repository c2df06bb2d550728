//! A request and its response as the connection sees them: from its head on it is answered, and its reply keeps the
//! room that it took until the system has the last byte, or the connection is over.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use super::budget::Taken;
use super::connections::Connection;

/// The service of one connection.
pub struct Answering {
    router: TowerToHyperService<Router>,
    connection: Arc<Connection>,
}

impl Answering {
    pub fn new(router: Router, connection: Arc<Connection>) -> Self {
        Answering { router: TowerToHyperService::new(router), connection }
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Sent>, Infallible>> + Send>>;

impl Service<Request<Incoming>> for Answering {
    type Response = Response<Sent>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, mut request: Request<Incoming>) -> Answer {
        let connection = Arc::clone(&self.connection);
        connection.asks();
        request.extensions_mut().insert(Arc::clone(&connection));
        let answer = self.router.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            let taken = response.extensions_mut().remove();
            Ok(response.map(|body| Sent { body, taken, connection }))
        })
    }
}

/// The body of a response.
pub struct Sent {
    body: Body,
    taken: Option<Taken>,
    connection: Arc<Connection>,
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(context)?) else {
            return Poll::Ready(None);
        };
        // The last piece takes the room along; of a stream nobody knows which one that is.
        let last = self.body.is_end_stream();
        let frame = match self.taken.take_if(|_| last) {
            Some(taken) => frame.map_data(|bytes| Bytes::from_owner(Held { bytes, _taken: taken })),
            None => frame,
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.connection.was_answered();
    }
}

/// Bytes that hold their room.
struct Held {
    bytes: Bytes,
    _taken: Taken,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
