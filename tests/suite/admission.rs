//! Checks that strangers, however many and however they come, keep nobody out: not the user's own calls, not
//! honest newcomers from other networks, not those who were there before. What is served is counted, not timed.
//!
//! Each attack comes from hosts of its own on a switch; the limits are small, so that small crowds fill them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::netns::{Host, Switch};
use crate::support::{GRACE, Peer, eventually};

const SOON: Duration = Duration::from_secs(20);
/// Visits and calls made in each attack.
const TRIES: usize = 20;

/// A network: the node under attack with those it belongs to, and honest strangers of two other networks.
struct Net {
    switch: Switch,
    node: Peer,
    /// Hosts have to be kept: their networks end with them.
    hosts: Vec<Host>,
    friends: Vec<Peer>,
    honest: Vec<Peer>,
    /// The ids of those that came long before.
    mature: Vec<String>,
}

impl Net {
    /// Makes it with these limits; None where the machine doesn't permit networks.
    #[track_caller]
    fn new(limits: Value) -> Option<Net> {
        let switch = Switch::new()?;
        let host = switch.host("10.80.0.1/24");
        let config = json!({
            "profile": "offline", "listen": ["/ip4/10.80.0.1/tcp/0"], "limits": limits,
        });
        let node = host.peer_with_grace(config);
        let far = switch.host("10.80.0.2/24");
        let friend = json!({ "listen": "/ip4/10.80.0.2/tcp/0", "identify": "real" });
        let friends = (0..4).map(|_| far.raw(friend.clone())).collect();
        let mut net = Net {
            switch,
            node,
            hosts: vec![host, far],
            friends,
            honest: Vec::new(),
            mature: Vec::new(),
        };
        net.honest = (1..4).map(|nth| net.crowd(&format!("10.81.{nth}.1"), json!({}))).collect();
        Some(net)
    }

    /// Lets a crowd come from a further host.
    #[track_caller]
    fn crowd(&mut self, ip: &str, mut options: Value) -> Peer {
        let host = self.switch.host(&format!("{ip}/24"));
        options["node"] = self.node.at("tcp").into();
        let crowd = host.crowd(options);
        self.hosts.push(host);
        crowd
    }

    /// Lets honest strangers come and stay until they are mature.
    #[track_caller]
    fn mature(&mut self, each: usize) {
        for honest in &self.honest {
            for _ in 0..each {
                let visit = honest.ok("visit", json!({ "stay": true }));
                assert_eq!(visit["served"], true, "{visit:#}");
                self.mature.push(visit["peer_id"].as_str().unwrap().to_owned());
            }
        }
        std::thread::sleep(GRACE * 2 + Duration::from_millis(200));
    }

    /// Connects to friends and lets honest strangers visit; returns how many of either were served.
    #[track_caller]
    fn served(&self) -> (usize, usize) {
        let (mut called, mut visited) = (0, 0);
        for nth in 0..TRIES {
            let friend = &self.friends[nth % self.friends.len()];
            let call = json!({ "multiaddr": friend.at("tcp") });
            let reply = self.node.call("connect_peer", call);
            called += usize::from(reply["success"] == true);
            self.node.call("disconnect_peer", json!({ "peer_id": friend.id() }));
            let visit = self.honest[nth % self.honest.len()].ok("visit", json!({}));
            visited += usize::from(visit["served"] == true);
        }
        (called, visited)
    }

    /// Checks the goals of an attack that is under way.
    #[track_caller]
    fn keeps_its_promises(&self) {
        let (called, visited) = self.served();
        let refusals = self.refusals();
        assert_eq!(called, TRIES, "the user's own calls are served: {refusals:#}");
        assert!(visited * 100 >= TRIES * 95, "{visited} newcomers of {TRIES}: {refusals:#}");
        let connected = self.node.ids(Some("connected"));
        let lost: Vec<_> = self.mature.iter().filter(|id| !connected.contains(id)).collect();
        assert!(lost.is_empty(), "{lost:?} were there first: {refusals:#}");
    }

    /// Returns how many were refused, by reason.
    #[track_caller]
    fn refusals(&self) -> Value {
        self.node.ok("get_peer_stats", json!({}))["stats"]["dropped"].clone()
    }

    #[track_caller]
    fn refused(&self, reason: &str) -> u64 {
        self.refusals()[format!("inbound.{reason}")].as_u64().unwrap_or(0)
    }
}

fn open(crowds: &[Peer]) -> u64 {
    crowds.iter().map(|crowd| crowd.ok("counts", json!({}))["open"].as_u64().unwrap()).sum()
}

fn begun(crowds: &[Peer]) -> u64 {
    crowds.iter().map(|crowd| crowd.ok("counts", json!({}))["begun"].as_u64().unwrap()).sum()
}

/// Waits until so many of these crowds have come.
#[track_caller]
fn came(crowds: &[Peer], at_least: u64) {
    eventually(SOON, "the crowd comes", || begun(crowds) >= at_least);
}

/// (a) Fresh identities of one host, renewed all the time, hold all connections.
#[test]
fn identities_of_one_host_that_hold_all_places_keep_nobody_out() {
    let limits = json!({ "max_connections": 64, "high_water": 64, "low_water": 8 });
    let Some(mut net) = Net::new(limits) else { return };
    net.mature(3);
    let options = json!({ "most": 70, "per_second": 40, "renew": true, "kind": "mute" });
    let crowd = [net.crowd("10.82.0.1", options)];
    came(&crowd, 80);
    net.keeps_its_promises();
    assert!(net.refused("share") + net.refused("displaced") > 0, "{:#}", net.refusals());
}

/// (a) in another shape: a few from each of many networks, which identify themselves and stay.
#[test]
fn peers_of_many_networks_that_identify_and_stay_keep_nobody_out() {
    let limits = json!({ "max_connections": 64, "low_water": 8 });
    let Some(mut net) = Net::new(limits) else { return };
    net.mature(3);
    let options = json!({ "most": 8, "per_second": 5, "kind": "identify" });
    let crowds: Vec<_> =
        (0..8).map(|nth| net.crowd(&format!("10.83.{nth}.1"), options.clone())).collect();
    came(&crowds, 64);
    net.keeps_its_promises();
    // The crowd's own become mature meanwhile, and still take nobody's place.
    std::thread::sleep(GRACE);
    net.keeps_its_promises();
}

/// (b) Sockets that say nothing fill the places of handshakes.
#[test]
fn silent_sockets_of_one_host_keep_nobody_out() {
    let Some(mut net) = Net::new(json!({ "max_pending": 16 })) else { return };
    let options = json!({ "most": 40, "per_second": 40, "renew": true, "kind": "silent" });
    let crowd = [net.crowd("10.84.0.1", options)];
    came(&crowd, 60);
    net.keeps_its_promises();
    assert!(net.refused("displaced") > 0, "{:#}", net.refusals());
    let told = net.node.wait_event(SOON, |event| event["event"] == "connections_refused");
    assert!(told["reasons"]["inbound.displaced"].as_u64() > Some(0), "{told:#}");
    let metrics = net.node.ok("get_metrics", json!({}))["metrics"].as_str().unwrap().to_owned();
    let counted = "peerkit_refused_total{source=\"inbound\",reason=\"displaced\"} ";
    assert!(metrics.contains(counted), "{metrics}");
    // What made room was closed indeed: no more sockets are open than there are places.
    eventually(SOON, "sockets are closed", || open(&crowd) <= 16 + 2);
}

/// (b) in another shape: handshakes that go on a little at a time, from many addresses and networks.
#[test]
fn handshakes_that_drip_from_many_networks_keep_nobody_out() {
    let Some(mut net) = Net::new(json!({ "max_pending": 16 })) else { return };
    let crowd = net.crowd("10.85.0.1", json!({}));
    let host = net.hosts.last().unwrap();
    let from: Vec<_> = (0..24).map(|nth| format!("10.86.{nth}.1")).collect();
    from.iter().for_each(|ip| host.add_ip(&format!("{ip}/24")));
    drop(crowd);
    let options = json!({
        "node": net.node.at("tcp"), "most": 40, "per_second": 20, "kind": "drip", "from": from,
    });
    let crowd = [host.crowd(options)];
    came(&crowd, 40);
    net.keeps_its_promises();
    assert!(net.refused("displaced") > 0, "{:#}", net.refusals());
}

/// (c) The young, whom the grace period protects, are more than there may be.
#[test]
fn a_young_crowd_pushes_out_nobody_who_came_before() {
    let limits = json!({ "max_connections": 64, "low_water": 4 });
    let Some(mut net) = Net::new(limits) else { return };
    net.mature(3);
    let options = json!({ "most": 60, "per_second": 60, "kind": "mute" });
    let crowd = [net.crowd("10.87.0.1", options)];
    came(&crowd, 60);
    net.keeps_its_promises();
}

/// (c) in another shape: on this machine, where no source has a share; and slowly, so that the crowd is mature too.
#[test]
fn a_crowd_on_this_machine_that_becomes_mature_pushes_out_nobody_who_came_before() {
    let limits = json!({ "max_connections": 64, "low_water": 4 });
    let node = Peer::with_grace(json!({ "limits": limits }));
    let crowd = |options: Value| {
        let mut options = options;
        options["node"] = node.at("tcp").into();
        Peer::crowd(options)
    };
    let (honest, friend) = (crowd(json!({})), Peer::start());
    let visit =
        || honest.ok("visit", json!({ "stay": true }))["peer_id"].as_str().unwrap().to_owned();
    let mature: Vec<_> = (0..10).map(|_| visit()).collect();
    std::thread::sleep(GRACE * 3);
    let crowd = [crowd(json!({ "most": 60, "per_second": 20, "kind": "identify" }))];
    let until = Instant::now() + GRACE * 3;
    let mut calls = 0;
    while Instant::now() < until {
        node.connect(&friend.at("tcp"));
        node.ok("disconnect_peer", json!({ "peer_id": friend.id() }));
        calls += 1;
        let connected = node.ids(Some("connected"));
        let lost: Vec<_> = mature.iter().filter(|id| !connected.contains(id)).collect();
        assert!(lost.is_empty(), "{lost:?} were there first");
    }
    assert!(calls > 0 && begun(&crowd) > 40);
}
