//! A launch whose candidate hangs: the replayer sends what the agent captured and never gets an answer.

use std::net::SocketAddr;

use shadow_control::{Change, ControlRecord, ControlWriter, Launch};
use shadow_devstack::Devstack;
use shadow_kafka::{Admin, KafkaConfig, TopicSpec};
use shadow_record::topics;

use super::process::{Place, Process};
use super::setup::Setup;
use crate::support::BINARY;

/// Partitions of the captured topic, as `agent` configures it.
const PARTITIONS: i32 = 4;

/// A replayer of `service` towards `candidate`, from the topic's start. It is frozen until its leg's turn.
pub fn stalled(
    setup: &Setup,
    stack: &Devstack,
    service: &str,
    candidate: SocketAddr,
    log: &std::path::Path,
) -> Process {
    let kafka = KafkaConfig::at(stack.brokers());
    let name: shadow_record::LaunchName = "stalled".parse().expect("a name");
    let service: shadow_record::ServiceName = service.parse().expect("a name");
    let launch = async {
        let topic = TopicSpec::deleting(topics::replayed(&service, &name), PARTITIONS);
        Admin::new(&kafka).expect("settings").ensure_topic(&topic).await.expect("the topic is made");
        let candidate = format!("http://{candidate}").parse().expect("a URL");
        let launch =
            Launch::of(name.clone(), service.clone(), candidate, Change::by("bench", "a candidate that hangs"));
        let control = ControlWriter::new(&kafka).expect("settings");
        control.put(&ControlRecord::Launch(Box::new(launch))).await.expect("the launch is put");
    };
    setup.runtime.block_on(launch);
    let config = log.with_extension("toml");
    let text = format!(
        "[service]\ninstance = \"replayer\"\n[kafka]\nbrokers = \"{}\"\n[masking]\nroutes = [\"* /orders/{{id}}\"]\n[log]\nformat = \"json\"\n",
        stack.brokers()
    );
    std::fs::write(&config, text).expect("the config is written");
    let command: Vec<_> = [BINARY, "replayer", "--config"].map(Into::into).into_iter().chain([config.into()]).collect();
    // In production it is another machine.
    let place = Place { cpus: setup.cpus.rest.clone(), idle: setup.cpus.crowded() };
    Process::start("replayer", &command, &[("SHADOW_MASKING_KEY", crate::support::MASKING_KEY)], &place, log)
}
