//! Gossipsub of the raw peer, and its calls: publish anything, as fast as it goes. A job ends, and its
//! call is answered, when everything was handed to gossipsub; until somebody takes the topic, and while
//! queues are full, it waits.
//!
//! - `publish {topic, data_base64}`: one message; the reply has its `message_id`;
//! - `flood {topic, count, bytes}`: `count` messages of `bytes` bytes;
//! - `flood {topic, count, records: true}`: `count` announcements, each of a new peer and truly signed;
//! - `heard {}`: `messages`, all so far: [{topic, data_base64}].

use std::collections::VecDeque;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use libp2p::gossipsub::{
    Behaviour, ConfigBuilder, Event, IdentTopic, Message, MessageAuthenticity, PublishError,
};
use libp2p::identity::Keypair;
use serde_json::{Value, json};

use super::record::record;

/// Messages handed over in one turn, so that other work gets its turn.
const AT_ONCE: u64 = 50;

pub fn behaviour(keypair: &Keypair, topics: &Value) -> Option<Behaviour> {
    let topics = topics.as_array()?;
    let config = ConfigBuilder::default()
        .max_transmit_size(1 << 20)
        .publish_queue_duration(std::time::Duration::from_secs(600))
        .build();
    let signed = MessageAuthenticity::Signed(keypair.clone());
    let mut behaviour = Behaviour::new(signed, config.unwrap()).unwrap();
    for topic in topics {
        behaviour.subscribe(&IdentTopic::new(topic.as_str().unwrap())).unwrap();
    }
    Some(behaviour)
}

/// The jobs under way and the messages received.
#[derive(Default)]
pub struct Gossip {
    jobs: VecDeque<Job>,
    heard: Vec<Value>,
}

struct Job {
    id: Value,
    topic: IdentTopic,
    what: What,
    left: u64,
}

enum What {
    This(Vec<u8>),
    Records,
}

impl What {
    fn next(&self, left: u64) -> Vec<u8> {
        match self {
            What::This(data) => data.clone(),
            What::Records => {
                let (key, port) = (Keypair::generate_ed25519(), left % 60_000 + 1);
                let address = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
                record(&key, key.public().to_peer_id(), 1, &address)
            }
        }
    }
}

impl Gossip {
    pub fn on_event(&mut self, event: Event) {
        if let Event::Message { message: Message { topic, data, .. }, .. } = event {
            let data = BASE64_STANDARD.encode(data);
            self.heard.push(json!({ "topic": topic.as_str(), "data_base64": data }));
        }
    }

    /// Takes a request; returns the answer if there is one at once.
    pub fn on_request(&mut self, request: &Value) -> Option<Value> {
        let params = &request["params"];
        let topic = || IdentTopic::new(params["topic"].as_str().unwrap());
        let (topic, what, left) = match request["call"].as_str().unwrap() {
            "heard" => return Some(json!({ "success": true, "messages": self.heard })),
            "publish" => {
                let data = BASE64_STANDARD.decode(params["data_base64"].as_str().unwrap());
                (topic(), What::This(data.unwrap()), 1)
            }
            "flood" if params["records"] == true => {
                (topic(), What::Records, params["count"].as_u64().unwrap())
            }
            "flood" => {
                let data = vec![b'x'; params["bytes"].as_u64().unwrap() as usize];
                (topic(), What::This(data), params["count"].as_u64().unwrap())
            }
            call => panic!("unknown call {call}"),
        };
        self.jobs.push_back(Job { id: request["id"].clone(), topic, what, left });
        None
    }

    /// Goes on with the jobs; returns the answers to those that are done.
    pub fn work(&mut self, behaviour: &mut Behaviour) -> Vec<Value> {
        let mut answers = Vec::new();
        self.jobs.retain_mut(|job| {
            for _ in 0..AT_ONCE {
                let data = job.what.next(job.left);
                let id = match behaviour.publish(job.topic.clone(), data) {
                    Ok(id) => id,
                    Err(
                        PublishError::NoPeersSubscribedToTopic | PublishError::AllQueuesFull(_),
                    ) => {
                        return true;
                    }
                    Err(error) => panic!("{error}"),
                };
                job.left -= 1;
                if job.left == 0 {
                    let reply = json!({ "success": true, "message_id": id.to_string() });
                    answers.push(json!({ "id": job.id, "reply": reply }));
                    return false;
                }
            }
            true
        });
        answers
    }
}
