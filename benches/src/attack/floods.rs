//! Numbers 26 and 27: a peer that makes work over one connection.

use std::time::Duration;

use serde_json::{Value, json};

use super::ground::{ATTACKER, Ground};
use super::{Attacked, Goal, Measured, Row, Scene, measure};
use crate::Result;
use crate::child::Child;

const PUSHES_PER_S: u64 = 2_900;
const BEGINS: Duration = Duration::from_secs(1);
/// The time in which the bystanders connect whose events are looked for later.
const BEFORE_MS: u64 = 1_500;

const BYSTANDERS: [(&str, &str, Goal); 2] = [
    ("user", "the user's connect_peer", Goal::Served(100.0)),
    ("newcomers", "honest newcomers", Goal::Served(95.0)),
];

pub fn run(ground: &Ground) -> Result<Vec<Row>> {
    let mut rows = pushes(ground)?;
    let name = "27, streams opened and reset";
    let mut scene = Scene::start(ground, json!({}))?;
    rows.extend(attacked(ground, name, &mut scene, "frames")?.rows(name, &BYSTANDERS));
    drop(scene);
    let name = "27, requests of the DHT";
    let mut scene = Scene::start(ground, json!({ "discovery": { "dht": "server" } }))?;
    rows.extend(attacked(ground, name, &mut scene, "requests")?.rows(name, &BYSTANDERS));
    Ok(rows)
}

fn pushes(ground: &Ground) -> Result<Vec<Row>> {
    let name = "26, identify pushed";
    let mut scene = Scene::start(ground, json!({}))?;
    let peers = scene.watch(BEFORE_MS)?["newcomers"]["peers"].take();
    let look = json!({ "cmd": "history", "peers": peers });
    let rest = scene.node.ask(&look)?;
    let measured = attacked(ground, name, &mut scene, "pushes")?;
    let mut rows = measured.rows(name, &BYSTANDERS);
    rows.push(Row {
        who: "connects of before, by `since`",
        attack: name,
        goal: Goal::Served(100.0),
        rest,
        attacked: scene.node.ask(&look)?,
        memory_mib: measured.memory_mib,
        processor: measured.processor,
    });
    Ok(rows)
}

fn attacked(ground: &Ground, name: &str, scene: &mut Scene, role: &str) -> Result<Measured> {
    let options: Value = json!({
        "target": scene.target, "source": ground.far(ATTACKER), "per_s": PUSHES_PER_S,
    });
    let begin = || -> Result<Vec<Child>> { Ok(vec![ground.far_role(role, &options)?]) };
    measure(name, scene, BEGINS, begin)
}
