//! Runs a tool: its arguments become an operation's parameters, the operation is called on a thread that may block,
//! and its reply is shortened. A call that nobody waits for any more is cancelled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use peerkit::ops::{self, Effect, Operation};
use peerkit::{Error, ErrorKind};
use rmcp::RoleServer;
use rmcp::model::{JsonObject, ProgressNotificationParam};
use rmcp::service::RequestContext;
use serde_json::{Map, Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::events::{self, Page};
use super::schema::{DEFAULT_LIMIT, MAX_TIMEOUT_MS, default_limit};
use super::shorten::{Short, shorten};
use super::tools::{self, Is, Tool};
use crate::hints::{Door, reworded};
use crate::node::{Node, Reply};
use crate::threads::Threads;

/// The most calls at once, of all clients of this process. Each has a thread that may block.
const MAX_CALLS: usize = 32;
/// The most of them that act, or wait for events: they take long, and reads are to have room beside them.
const MAX_LONG: usize = 16;
/// The most threads that calls take: each has one, and so has what cancels it.
pub const MAX_THREADS: usize = 2 * MAX_CALLS;
/// The interval at which a client that wants to know is told that a call is still under way.
const PROGRESS: Duration = Duration::from_secs(1);
/// The most times that a page which is too long is asked for again, smaller.
const PAGES: usize = 4;
/// The estimate from which on replies are made one at a time.
const LARGE: usize = 256 << 10;
/// The interval at which a call that nobody wants is cancelled: it may be between two of its steps.
const CANCEL: Duration = Duration::from_millis(100);

/// Runs the calls of all clients.
pub struct Runner {
    node: Arc<dyn Node>,
    threads: Threads,
    calls: Arc<Semaphore>,
    long: Arc<Semaphore>,
    /// Held while a large reply is made and shortened, which takes many times what is left of it.
    large: Arc<Mutex<()>>,
    /// The next token. They begin at a random number, for another process may call on the same node.
    token: AtomicU64,
}

/// A call of a tool.
pub struct Job {
    what: What,
    timeout: Duration,
    detail: bool,
}

enum What {
    Operation { op: &'static Operation, params: Map<String, Value> },
    Events(Page),
}

impl Job {
    /// Reads a tool's arguments. The failure is the reply.
    pub fn new(tool: &Tool, mut arguments: JsonObject) -> Result<Self, Reply> {
        ops::whole_numbers(&mut arguments);
        let refused = |error: &Error| refused(tool, error);
        let detail = detail(&mut arguments).map_err(|error| refused(&error))?;
        if let Is::Events = tool.is {
            let page = Page::new(arguments, detail).map_err(|error| refused(&error))?;
            return Ok(Job { what: What::Events(page), timeout: Duration::ZERO, detail });
        }
        let timeout = timeout(&mut arguments).map_err(|error| refused(&error))?;
        let (name, mut params) = operation(tool, arguments).map_err(|error| refused(&error))?;
        let op = ops::find(&name).map_err(|error| Reply::refused(&name, &error))?;
        if default_limit(tool.name) {
            params.entry("limit").or_insert(DEFAULT_LIMIT.into());
        }
        Ok(Job { what: What::Operation { op, params }, timeout, detail })
    }
}

impl Runner {
    /// Runs calls on a node, on these threads.
    pub fn new(node: Arc<dyn Node>, threads: Threads) -> Self {
        let random = getrandom::u64().unwrap_or_default() >> 12;
        Runner {
            node,
            threads,
            calls: Arc::new(Semaphore::new(MAX_CALLS)),
            long: Arc::new(Semaphore::new(MAX_LONG)),
            large: Arc::default(),
            token: AtomicU64::new(random),
        }
    }

    /// Takes the permits for a call.
    fn permits(&self, job: &Job) -> Result<Permits, Error> {
        let one = |of: &Arc<Semaphore>, most: usize, what: &str| {
            Arc::clone(of).try_acquire_owned().map_err(|_| {
                let message = format!("{most} {what} are under way; no more are taken");
                Error::new(ErrorKind::Busy, message)
            })
        };
        let long = match job.is_long() {
            true => Some(one(&self.long, MAX_LONG, "calls that act or wait")?),
            false => None,
        };
        Ok((one(&self.calls, MAX_CALLS, "calls")?, long))
    }

    /// Runs the job and waits for it, telling the client now and then that it is under way.
    pub async fn run(&self, job: Job, context: &RequestContext<RoleServer>) -> Short {
        let permits = match self.permits(&job) {
            Ok(permits) => permits,
            Err(busy) => return answer(job.refused(&busy), true),
        };
        let token = self.token.fetch_add(1, Ordering::Relaxed);
        let cancelled = Arc::new(AtomicBool::new(false));
        let call = Call {
            node: Arc::clone(&self.node),
            token,
            cancelled: Arc::clone(&cancelled),
            large: Arc::clone(&self.large),
            permits,
        };
        let method = job.method();
        let mut done = match self.threads.run(move || call.run(job)) {
            Ok(done) => done,
            Err(error) => return answer(Reply::refused(method, &error), true),
        };
        let began = Instant::now();
        let mut ticks = interval_at(began + PROGRESS, PROGRESS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                short = &mut done => return short.unwrap_or_else(|_| panicked()),
                () = context.ct.cancelled() => break,
                _ = ticks.tick() => report_progress(context, began.elapsed()).await,
            }
        }
        cancelled.store(true, Ordering::Relaxed);
        loop {
            let node = Arc::clone(&self.node);
            if let Ok(cancelled) = self.threads.run(move || node.cancel(token)) {
                let _ = cancelled.await;
            }
            tokio::select! {
                short = &mut done => return short.unwrap_or_else(|_| panicked()),
                () = tokio::time::sleep(CANCEL) => {}
            }
        }
    }
}

/// Makes of a reply what an agent gets.
pub fn answer(reply: Reply, detail: bool) -> Short {
    shorten(reworded(reply, Door::Tool).object(), detail)
}

/// A share of the calls at once, as long as it is held.
type Permits = (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>);

/// Tells a client that asked for it that a call is still under way.
async fn report_progress(context: &RequestContext<RoleServer>, elapsed: Duration) {
    if let Some(token) = context.meta.get_progress_token() {
        let progress = ProgressNotificationParam::new(token, elapsed.as_secs_f64().round())
            .with_message(format!("under way for {} s", elapsed.as_secs()));
        // A client that doesn't listen misses nothing but this.
        let _ = context.peer.notify_progress(progress).await;
    }
}

/// A call on its thread.
struct Call {
    node: Arc<dyn Node>,
    token: u64,
    cancelled: Arc<AtomicBool>,
    large: Arc<Mutex<()>>,
    permits: Permits,
}

impl Call {
    fn run(self, job: Job) -> Short {
        let _until_the_end = &self.permits;
        let cancelled = || self.cancelled.load(Ordering::Relaxed);
        match job.what {
            What::Events(page) => answer(page.read(&*self.node, &cancelled), job.detail),
            What::Operation { op, params } => self.operation(op, params, job.timeout, job.detail),
        }
    }

    fn operation(
        &self,
        op: &Operation,
        mut params: Map<String, Value>,
        timeout: Duration,
        detail: bool,
    ) -> Short {
        if op.takes_cancel_token() {
            params.insert("cancel_token".into(), self.token.into());
            let reply = self.node.call_with_own_token(op.name, params, timeout);
            return answer(reply, detail);
        }
        let large = op.reply_estimate(&params) > LARGE;
        let _turn = large.then(|| self.large.lock());
        let call = |params| answer(self.node.call(op.name, params, timeout), detail);
        let mut short = call(params.clone());
        // The cursor of a page points behind what was cut off it; a page of the right size has the right one. Rows may
        // grow between two looks at them, but not forever.
        for _ in 0..PAGES {
            if op.name != "list_peers" || !short.reply.contains_key("omitted") {
                break;
            }
            let shown = short.reply.get("peers").and_then(Value::as_array).map_or(0, Vec::len);
            params.insert("limit".into(), shown.max(1).into());
            short = call(params.clone());
        }
        short
    }
}

impl Job {
    /// Tells whether it acts, or waits for what may not come.
    fn is_long(&self) -> bool {
        match &self.what {
            What::Operation { op, .. } => op.effect == Effect::Acts,
            What::Events(page) => page.waits(),
        }
    }

    /// Returns the operation that it calls; empty for events, which are none.
    fn method(&self) -> &'static str {
        match &self.what {
            What::Operation { op, .. } => op.name,
            What::Events(_) => "",
        }
    }

    fn refused(&self, error: &Error) -> Reply {
        match &self.what {
            What::Operation { op, .. } => Reply::refused(op.name, error),
            What::Events(_) => events::failure(Reply::refused("", error)),
        }
    }
}

/// Makes the failure of a tool whose arguments aren't right.
fn refused(tool: &Tool, error: &Error) -> Reply {
    match tool.is {
        Is::Operation(name) => Reply::refused(name, error),
        Is::Events => events::failure(Reply::refused("", error)),
        Is::Actions(_) => Reply::refused("list_bootstrap_peers", error),
        Is::Call => Reply::refused("", error),
    }
}

/// Finds the operation that is meant, and its parameters.
fn operation(tool: &Tool, mut arguments: JsonObject) -> Result<(String, JsonObject), Error> {
    match tool.is {
        Is::Operation(name) => Ok((name.to_owned(), arguments)),
        Is::Actions(actions) => {
            let given = arguments.shift_remove("action");
            let name = tools::action(actions, given.as_ref()).ok_or_else(|| {
                let names: Vec<_> = actions.iter().map(|(action, _)| *action).collect();
                invalid(format!("`action` is one of {}", names.join(", ")))
            })?;
            Ok((name.to_owned(), arguments))
        }
        Is::Call => {
            let method = arguments.shift_remove("method");
            let Some(Value::String(method)) = method else {
                return Err(invalid("`method` is the name of an operation".into()));
            };
            let params = match arguments.shift_remove("params") {
                None | Some(Value::Null) => Map::new(),
                Some(Value::Object(params)) => params,
                Some(_) => return Err(invalid("`params` is an object".into())),
            };
            match arguments.keys().next() {
                Some(unknown) => Err(invalid(format!("unknown parameter `{unknown}`"))
                    .with_hint("the operation's parameters go into `params`")),
                None => Ok((method, params)),
            }
        }
        Is::Events => Err(invalid("events are no operation".into())),
    }
}

fn detail(arguments: &mut JsonObject) -> Result<bool, Error> {
    match arguments.shift_remove("detail") {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(detail)) => Ok(detail),
        Some(given) => Err(ops::wrong_value("detail", &json!({"type": "boolean"}), &given)),
    }
}

fn timeout(arguments: &mut JsonObject) -> Result<Duration, Error> {
    match arguments.shift_remove("timeout_ms") {
        None | Some(Value::Null) => Ok(Duration::ZERO),
        Some(given) => match given.as_u64() {
            Some(ms) if (1..=MAX_TIMEOUT_MS).contains(&ms) => Ok(Duration::from_millis(ms)),
            _ => {
                let schema = json!({"type": "integer", "minimum": 1, "maximum": MAX_TIMEOUT_MS});
                Err(ops::wrong_value("timeout_ms", &schema, &given))
            }
        },
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

fn panicked() -> Short {
    let error = Error::new(ErrorKind::Panic, "the server has a bug: the call panicked");
    answer(Reply::refused("", &error), true)
}
