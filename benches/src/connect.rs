//! Part "connect": connect_peer through the C ABI beside raw rust-libp2p and go-libp2p.

use serde_json::{Value, json};

use crate::Result;
use crate::child::{Child, Scratch, progress};
use crate::stats::Rounds;
use crate::table::{Section, duration, times};

/// Rounds, in each of which every contender has its turn.
const ROUNDS: usize = 12;
/// Dials in a turn.
const DIALS: u64 = 100;
/// Dials before anything is measured.
const WARM_UP: u64 = 20;

/// A dialler, and a peer to be dialled.
struct Contender {
    who: &'static str,
    dialer: usize,
    target: String,
    /// The place of the contender it is compared with.
    reference: usize,
    rounds: Rounds,
    inside: Vec<f64>,
}

pub fn run() -> Result<Vec<Section>> {
    let scratch = Scratch::new("connect")?;
    let remotes = [
        Child::node(Some("/ip4/127.0.0.1/tcp/0"), None)?,
        Child::node(Some("/ip4/127.0.0.1/udp/0/quic-v1"), None)?,
        Child::node(None, None)?,
    ];
    let mut dialers = [
        Child::role(&["raw"])?,
        Child::node(None, None)?,
        Child::node(None, Some(&scratch.path()))?,
        Child::go()?,
    ];
    let addresses = [
        remotes[0].address("/tcp/")?,
        remotes[1].address("/quic-v1")?,
        remotes[2].address("/tcp/")?,
        remotes[2].address("/quic-v1")?,
    ];
    let mut contenders = contenders(&addresses);
    for round in 0..=ROUNDS {
        progress(&format!("connect, round {round} of {ROUNDS}"));
        for contender in &mut contenders {
            let dials = if round == 0 { WARM_UP } else { DIALS };
            let dialer = &mut dialers[contender.dialer];
            let command = json!({ "cmd": "bench-dial", "addr": contender.target, "n": dials });
            let summary = dialer.ask(&command).or_else(|error| {
                // go-libp2p, in one dial of thousands, forgets the address it was just given.
                progress(&format!("once more: {error}"));
                dialer.ask(&command)
            })?;
            if round > 0 {
                contender.rounds.note(&summary);
                contender.inside.extend(summary["worker_p50_us"].as_f64());
            }
        }
    }
    Ok(vec![table(&contenders)])
}

fn contenders(addresses: &[String; 4]) -> Vec<Contender> {
    let mut contenders = Vec::new();
    for target in addresses {
        let reference = contenders.len();
        let mut add = |who, dialer| {
            contenders.push(Contender {
                who,
                dialer,
                target: target.clone(),
                reference,
                rounds: Rounds::default(),
                inside: Vec::new(),
            });
        };
        add("raw rust-libp2p", 0);
        add("**peerkit**", 1);
        add("peerkit, with a data_dir", 2);
        add("go-libp2p", 3);
    }
    contenders
}

fn table(contenders: &[Contender]) -> Section {
    let mut section = Section::new(
        "Connecting",
        &format!(
            "Dial, handshakes, identify received; then disconnect, which isn't counted. One dial at a \
             time, {ROUNDS} rounds of {DIALS} dials by each in turn; ratios are medians over the rounds. \
             Every dialer is a process of its own that listens over TCP and QUIC on the loopback (raw \
             rust-libp2p dials from its listening port, as is its default; peerkit from a new one), and \
             the remote is a peerkit process with limits out of the way. peerkit: \
             `peerkit_connect_peer` and its JSON, from call to return; *inside* is the `duration_ms` \
             of the reply. raw rust-libp2p: the same versions, TLS before Noise, yamux, identify and ping on \
             one current-thread runtime, from `Swarm::dial` to `identify::Event::Received`. \
             go-libp2p: its own `Connect` and `IdentifyWait`, as configured by default. With a data_dir \
             a commit to disk comes before the call returns, and isn't *inside*: `disconnect_peer` is the user's \
             word that holds the peer off, and each connect here takes it back. Targets, without that commit: \
             within 1.15x of raw; above 1.5x is a defect."
        ),
        &["remote", "dialer", "ratio to raw", "p50", "p99", "max", "inside, p50"],
    );
    let remotes = ["TCP only", "QUIC only", "both, dialled over TCP", "both, dialled over QUIC"];
    for contender in contenders {
        let reference = &contenders[contender.reference].rounds;
        let remote = remotes[contender.reference / (contenders.len() / remotes.len())];
        section.row([
            remote.to_owned(),
            contender.who.to_owned(),
            times(contender.rounds.ratio(reference)),
            duration(contender.rounds.p50()),
            duration(contender.rounds.p99()),
            duration(contender.rounds.max()),
            duration(crate::stats::median(&contender.inside)),
        ]);
    }
    section
}

/// Returns an answer's number.
pub fn number(answer: &Value, key: &str) -> f64 {
    answer[key].as_f64().unwrap_or(f64::NAN)
}
