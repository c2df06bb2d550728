//! Part "attack": what strangers do to a node (issue 12, numbers 21, 22, 26 and 27), and how those are served
//! meanwhile whom the node is for.
//!
//! `scene` is an attacked node with its user and honest peers, `program` a `peerkit serve` with the holder of
//! its token; `doors`, `program` and `floods` are the attacks. Attackers and bystanders are processes of their
//! own (`hold`, `flood`, `honest`, `user`), rust-libp2p used directly (`dial`, `wire`, `frames`), on the `ground`.

mod dial;
mod doors;
mod flood;
mod floods;
mod frames;
mod ground;
mod hold;
mod honest;
mod program;
mod scene;
mod tally;
pub mod user;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use serde_json::{Value, json};

use self::flood::Work;
use self::ground::Ground;
use self::hold::Counts;
use self::scene::Scene;
use crate::child::{Child, progress};
use crate::connect::number;
use crate::table::{Section, duration};
use crate::{Result, line, raw};

/// The time before anything is measured, in which what is first done is done; that measured at rest, and
/// under attack.
const WARM_UP_MS: u64 = 300;
const REST_MS: u64 = 3_000;
const ATTACKED_MS: u64 = 7_000;
/// The memory that all doors together may take above rest.
const MEMORY_GOAL_MIB: f64 = 64.0;

/// The least that is good enough.
#[derive(Clone, Copy)]
enum Goal {
    /// Of a hundred, so many are served.
    Served(f64),
    /// Nothing is asked but to be shown.
    Shown,
    /// [`MEMORY_GOAL_MIB`].
    Memory,
}

/// Something that is attacked, and those who use it.
trait Attacked {
    /// Returns the process that is attacked.
    fn process(&self) -> &Child;

    /// Lets everybody call for so long; returns a summary for each.
    fn watch(&mut self, ms: u64) -> Result<Value>;
}

/// The summaries of everybody at rest and under attack.
struct Measured {
    rest: Value,
    attacked: Value,
    memory_mib: f64,
    /// The share of a processor that the attacked process took.
    processor: f64,
}

/// A line of the table: one bystander of one attack.
struct Row {
    attack: &'static str,
    who: &'static str,
    goal: Goal,
    rest: Value,
    attacked: Value,
    memory_mib: f64,
    processor: f64,
}

pub fn run() -> Result<Vec<Section>> {
    let ground = Ground::new()?;
    progress("attack, starting");
    // The peers that settle there grow old while HTTP is attacked.
    let prepared = doors::prepare(&ground)?;
    let over_http = program::run(&ground)?;
    let mut rows = doors::run(&ground, prepared)?;
    rows.extend(over_http);
    rows.extend(floods::run(&ground)?);
    rows.extend(program::all_doors(&ground)?);
    Ok(vec![table(&ground, &rows)])
}

/// Measures a scene at rest, and once an attack had time to begin.
fn measure(
    name: &str,
    scene: &mut impl Attacked,
    begins: Duration,
    attack: impl FnOnce() -> Result<Vec<Child>>,
) -> Result<Measured> {
    progress(&format!("attack, {name}, at rest"));
    scene.watch(WARM_UP_MS)?;
    let rest = scene.watch(REST_MS)?;
    let rest_mib = scene.process().begin_peak()? / 1024.0;
    let mut attackers = attack()?;
    std::thread::sleep(begins);
    progress(&format!("attack, {name}"));
    let (begun, cpu) = (std::time::Instant::now(), scene.process().cpu_seconds_of_all()?);
    let attacked = scene.watch(ATTACKED_MS)?;
    let processor = (scene.process().cpu_seconds_of_all()? - cpu) / begun.elapsed().as_secs_f64();
    let memory_mib = scene.process().peak_kib()? / 1024.0 - rest_mib;
    for attacker in &mut attackers {
        progress(&format!("attack, {name}: {}", attacker.ask(&json!({ "cmd": "counts" }))?));
    }
    Ok(Measured { rest, attacked, memory_mib, processor })
}

impl Measured {
    /// Returns a row for each bystander named: the key of its summary, who it is, and the goal.
    fn rows(&self, attack: &'static str, who: &[(&str, &'static str, Goal)]) -> Vec<Row> {
        let row = |(key, who, goal): &(&str, &'static str, Goal)| Row {
            attack,
            who,
            goal: *goal,
            rest: self.rest[key].clone(),
            attacked: self.attacked[key].clone(),
            memory_mib: self.memory_mib,
            processor: self.processor,
        };
        who.iter().map(row).collect()
    }
}

/// Plays a role of the attacks, which runs until it is killed.
pub fn serve(role: &str, options: &str) -> Result<()> {
    let options: Value = serde_json::from_str(options)?;
    let counts = Arc::new(Counts::default());
    let counted = Arc::clone(&counts);
    let runtime = raw::runtime()?;
    let attack = match role {
        "honest" => return honest::serve(runtime),
        "holder" => return user::serve_holder(&options),
        "crowd" => hold::crowd(options, counted).boxed(),
        "sockets" => hold::sockets(options, counted).boxed(),
        "pushes" => flood::flood(options, Work::Pushes, counted).boxed(),
        "requests" => flood::flood(options, Work::Requests, counted).boxed(),
        "frames" => flood::flood(options, Work::Frames, counted).boxed(),
        other => return Err(format!("unknown role {other}").into()),
    };
    std::thread::spawn(move || {
        if let Err(error) = runtime.block_on(attack) {
            progress(&format!("an attacker gave up: {error}"));
        }
    });
    line::serve(&json!({}), |command| match line::text(command, "cmd")? {
        "counts" => Ok(counts.told()),
        other => Err(format!("unknown command {other}").into()),
    })
}

fn table(ground: &Ground, rows: &[Row]) -> Section {
    let mut section = Section::new(
        "Attacks",
        &format!(
            "Strangers attack a node with the default limits (profile offline), and whom it is for calls meanwhile: \
             {} s at rest, then {} s once the attack is under way; counts and goals are those under attack, \
             p50 and p99 of the served alone. Each attack has a fresh node, on {}; attackers and bystanders are processes \
             of their own and share the processors with it. *The user* calls connect_peer {} times a second; \
             *newcomers* are fresh identities, {} a second, each from a /24 of its own, served when identified \
             and still connected {} ms later; *mature peers* are inbound ones that were there for more than 20 s, asked for a \
             ping a second; *the holder* of the token calls {} times a second over HTTP, by a new connection each time, \
             and by one that is kept. \
             (a) 540 fresh identities of one host, 36 new ones a second; (b) 130 connections of one host that say \
             nothing, 13 new ones a second; (c) 400 fresh identities, 20 new ones a second, of one host, and of \
             100 prefixes; (d) 512 HTTP connections that say nothing or drip their headers, from the holder's \
             own address; 22: 315 callers without the token ask for 10k peers and don't read the reply; 26: one peer \
             pushes identify 2,900 times a second, then `since` 0 looks for the connects of newcomers from before; 27: \
             streams of yamux opened and reset on one connection, and FIND_NODE on one with 30 at once, as fast \
             as they are read. All doors: (a), (b), (d) and 22 at once. Memory: the most under attack, beyond \
             that at rest, of the whole process.",
            REST_MS / 1000,
            ATTACKED_MS / 1000,
            ground.told(),
            scene::CONNECTS_PER_S,
            scene::NEWCOMERS_PER_S,
            honest::STAND.as_millis(),
            program::CALLS_PER_S,
        ),
        &[
            "attack",
            "measured",
            "goal",
            "at rest, p50 / p99",
            "under attack, p50 / p99",
            "served",
            "memory above rest",
            "processor",
        ],
    );
    for row in rows {
        let times = |summary: &Value| match summary["p50_us"].as_f64() {
            Some(p50) => format!("{} / {}", duration(p50), duration(number(summary, "p99_us"))),
            None => "-".to_owned(),
        };
        section.row([
            row.attack.to_owned(),
            row.who.to_owned(),
            goal(row),
            times(&row.rest),
            times(&row.attacked),
            served(row),
            format!("{:.1} MiB", row.memory_mib),
            format!("{:.0} %", row.processor * 100.0),
        ]);
    }
    section
}

/// Says what the goal is, and whether it was reached.
fn goal(row: &Row) -> String {
    let (goal, reached) = match row.goal {
        Goal::Shown => return "-".to_owned(),
        Goal::Served(percent) => {
            let least = number(&row.attacked, "asked") * percent / 100.0;
            (format!("{percent:.0} %"), number(&row.attacked, "served") >= least)
        }
        Goal::Memory => {
            (format!("under {MEMORY_GOAL_MIB:.0} MiB"), row.memory_mib < MEMORY_GOAL_MIB)
        }
    };
    if reached { format!("{goal}: met") } else { format!("{goal}: **missed**") }
}

/// Says how many were served, and why others weren't; of those at rest only where any was refused.
fn served(row: &Row) -> String {
    let told = |summary: &Value| {
        let Some(served) = summary["served"].as_u64() else { return "-".to_owned() };
        let reasons = summary["refused"].as_object().into_iter().flatten();
        let reasons = reasons.map(|(why, count)| format!("{why} {count}")).collect::<Vec<_>>();
        let reasons = reasons.join(", ");
        let reasons = if reasons.is_empty() { reasons } else { format!(" ({reasons})") };
        format!("{served} of {}{reasons}", summary["asked"])
    };
    let mut text = told(&row.attacked);
    if let Some(seconds) = row.attacked["covers_s"].as_f64() {
        text += &format!("; the history covers {seconds:.1} s");
    }
    if row.rest["served"] != row.rest["asked"] {
        text += &format!("; at rest {}", told(&row.rest));
    }
    text
}
