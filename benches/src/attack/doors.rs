//! Number 21 (a) to (c): strangers at the swarm's door.

use std::time::Duration;

use serde_json::{Value, json};

use super::ground::{ATTACKER, ATTACKERS, Ground};
use super::{Goal, Row, Scene, measure};
use crate::Result;
use crate::child::Child;

/// The connections that each attack holds, and the pace at which they come: in a second at first, and then.
pub const IDENTITIES: [u64; 3] = [540, 100, 36];
pub const SILENT: [u64; 3] = [130, 130, 13];
const YOUNG: [u64; 3] = [400, 100, 20];
const MANY: u32 = 100;

/// An attack, the scene it is to happen in, and what it does there.
pub struct Prepared {
    name: &'static str,
    scene: Scene,
    begins: Duration,
    attack: fn(&Ground, &str) -> Result<Child>,
    newcomers: Goal,
}

/// Starts all scenes, so that those who settle there grow mature.
pub fn prepare(ground: &Ground) -> Result<Vec<Prepared>> {
    let honest = Goal::Served(95.0);
    Ok(vec![
        prepared(ground, "21 (a), identities of one host", 7, identities, honest)?,
        prepared(ground, "21 (b), silent connections", 2, silent, honest)?,
        prepared(ground, "21 (c), young connections", 5, young, honest)?,
        // Nothing tells those newcomers from these attackers.
        prepared(ground, "21 (c), of 100 prefixes", 5, young_of_many, Goal::Shown)?,
    ])
}

fn prepared(
    ground: &Ground,
    name: &'static str,
    seconds: u64,
    attack: fn(&Ground, &str) -> Result<Child>,
    newcomers: Goal,
) -> Result<Prepared> {
    let (scene, begins) = (Scene::start(ground, json!({}))?, Duration::from_secs(seconds));
    Ok(Prepared { name, scene, begins, attack, newcomers })
}

pub fn run(ground: &Ground, prepared: Vec<Prepared>) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for Prepared { name, mut scene, begins, attack, newcomers } in prepared {
        let target = scene.target.clone();
        let measured = measure(name, &mut scene, begins, || Ok(vec![attack(ground, &target)?]))?;
        rows.extend(measured.rows(
            name,
            &[
                ("user", "the user's connect_peer", Goal::Served(100.0)),
                ("newcomers", "honest newcomers", newcomers),
                ("mature", "mature peers, pings", Goal::Served(100.0)),
            ],
        ));
    }
    Ok(rows)
}

/// Returns the options of what holds connections.
pub fn holding([hold, first_per_s, then_per_s]: [u64; 3], renews: bool) -> Value {
    json!({
        "hold": hold, "first_per_s": first_per_s, "then_per_s": then_per_s, "renews": renews,
    })
}

pub fn identities(ground: &Ground, target: &str) -> Result<Child> {
    crowd(ground, target, IDENTITIES, ATTACKER, 1)
}

fn young(ground: &Ground, target: &str) -> Result<Child> {
    crowd(ground, target, YOUNG, ATTACKER, 1)
}

fn young_of_many(ground: &Ground, target: &str) -> Result<Child> {
    crowd(ground, target, YOUNG, ATTACKERS, MANY)
}

fn crowd(
    ground: &Ground,
    target: &str,
    plan: [u64; 3],
    prefix: u32,
    prefixes: u32,
) -> Result<Child> {
    let mut options = holding(plan, true);
    options["target"] = json!(target);
    options["source"] = json!(ground.far(prefix));
    options["prefixes"] = json!(prefixes);
    ground.far_role("crowd", &options)
}

/// Attacks with connections that say nothing.
pub fn silent(ground: &Ground, target: &str) -> Result<Child> {
    let mut options = holding(SILENT, true);
    options["target"] = json!(socket_of(target)?);
    options["source"] = json!(ground.far(ATTACKER));
    ground.far_role("sockets", &options)
}

fn socket_of(target: &str) -> Result<String> {
    let address = super::dial::socket_address(&target.parse()?);
    Ok(address.ok_or_else(|| format!("{target} isn't TCP"))?.to_string())
}
