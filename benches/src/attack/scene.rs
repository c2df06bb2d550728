//! An attacked node: an embedding program, its user who connects to a remote, and honest peers.

use serde_json::{Value, json};

use super::Attacked;
use super::ground::{Ground, MATURE, NEWCOMERS, REMOTE};
use crate::Result;
use crate::child::Child;

/// The calls of the user's in a second, and the newcomers.
pub const CONNECTS_PER_S: u64 = 20;
pub const NEWCOMERS_PER_S: u64 = 10;
/// The honest peers that settle.
const SETTLED: u64 = 20;

/// A node and those who use it.
pub struct Scene {
    pub node: Child,
    honest: Child,
    remote: Child,
    /// The node's address.
    pub target: String,
    newcomers: String,
}

impl Scene {
    /// Starts them; `keys` are those of the node's configuration besides.
    pub fn start(ground: &Ground, keys: Value) -> Result<Scene> {
        let mut config = keys;
        config["profile"] = json!("offline");
        config["listen"] = json!([format!("/ip4/{}/tcp/0", ground.ip())]);
        let node = Child::node_at(ground.here(), &config.to_string())?;
        let target = node.address("/tcp/")?;
        let mut honest = ground.far_role("honest", &json!({}))?;
        let settles = ground.far(MATURE).to_string();
        honest
            .ask(&json!({ "cmd": "settle", "target": target, "source": settles, "n": SETTLED }))?;
        Ok(Scene {
            node,
            honest,
            remote: remote(ground)?,
            target,
            newcomers: ground.far(NEWCOMERS).to_string(),
        })
    }
}

/// Starts a peer that accepts everybody.
pub fn remote(ground: &Ground) -> Result<Child> {
    Child::role_at(ground.world(), &["raw-hold", &ground.far(REMOTE).to_string()])
}

impl Attacked for Scene {
    fn process(&self) -> &Child {
        &self.node
    }

    fn watch(&mut self, ms: u64) -> Result<Value> {
        let address = self.remote.address("/tcp/")?;
        self.node.send(&json!({
            "cmd": "user-connects", "addr": address, "ms": ms, "per_s": CONNECTS_PER_S,
        }))?;
        self.honest.send(&json!({
            "cmd": "newcomers", "target": self.target, "source": self.newcomers, "ms": ms,
            "per_s": NEWCOMERS_PER_S,
        }))?;
        let (user, newcomers) = (self.node.answer()?, self.honest.answer()?);
        let mature = self.honest.ask(&json!({ "cmd": "settled" }))?;
        Ok(json!({ "user": user, "newcomers": newcomers, "mature": mature }))
    }
}
