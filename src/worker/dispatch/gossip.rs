//! What gossipsub tells, to the part it is for.

use libp2p::gossipsub::Event;

use super::Worker;

impl Worker {
    pub(super) fn on_gossipsub(&mut self, event: Event) {
        let core = &mut self.core;
        core.shared.metrics.record_gossipsub(&event);
        match event {
            Event::Message { propagation_source: from, message_id: id, message } => {
                let acceptance = match self.discovery.is_topic(&message.topic) {
                    true => self.discovery.on_record(core, &from, &message.data),
                    false => self.pubsub.on_message(core, &id, message),
                };
                let gossipsub = &mut core.swarm.behaviour_mut().gossipsub;
                gossipsub.report_message_validation_result(&id, &from, acceptance);
            }
            Event::Subscribed { topic, .. } => self.discovery.on_subscribed(core, &topic),
            _ => {}
        }
    }
}
