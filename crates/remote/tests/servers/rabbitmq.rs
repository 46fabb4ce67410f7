//! Steps on a real RabbitMQ, seen by clients that know nothing of Squall.

use crate::door::{Servers, ended_from_elsewhere, planned, sample, step};
use serde_json::{Value as Json, json};
use squall_database::testing::rabbitmq::RabbitServer;
use squall_engine::suite::{self, Sample};
use squall_model::machine::Machine;
use squall_model::server::mark_of;
use squall_model::undo::{Effect, Reverted};
use std::rc::Rc;

/// Both limits, and which of its alarms are on.
fn state(server: &RabbitServer) -> String {
    server.eval(
        "{vm_memory_monitor:get_vm_memory_high_watermark(), rabbit_disk_monitor:get_disk_free_limit(), \
         rabbit_alarm:get_alarms()}.",
    )
}

/// Its alarms, as its management tells of them.
fn alarms(server: &RabbitServer) -> String {
    server.management("GET", "/api/health/checks/local-alarms")
}

fn fault(server: &Rc<RabbitServer>, name: &'static str, meddle: fn(&RabbitServer)) -> Sample<Servers> {
    let url = server.url();
    let make = move |machine: &mut Servers, injection: &str| step(machine, &url, injection, name, &json!({}));
    sample(name, server, make, |server, _| state(server), Some(meddle))
}

#[test]
fn steps_on_rabbitmq_keep_the_laws_and_are_felt() {
    let Some(server) = RabbitServer::start() else { return };
    let server = Rc::new(server);
    // One stands for both: they differ in a name.
    let mut samples = [fault(&server, "rabbitmq.memory_alarm", |server| {
        server.eval("vm_memory_monitor:set_vm_memory_high_watermark(0.5).");
    })];
    let broken = suite::check(&mut Servers::knowing(&server.url()), &mut samples);
    assert!(broken.is_empty(), "{}", suite::describe(&broken));
    each_value_is_put_back_as_it_was(&server);
    what_is_on_already_is_refused(&server);
    let found =
        ended_from_elsewhere(&server.url(), "rabbitmq.disk_alarm", || alarms(&server).starts_with("503"));
    assert!(found.contains("named squall-other-1 on "), "{found}");
    assert_eq!(server.eval("rabbit_disk_monitor:get_disk_free_limit()."), "64000000");
}

/// Makes a fault as the hands do, and puts it back.
fn struck(server: &RabbitServer, fault: &str, with: &Json) -> String {
    let url = server.url();
    let mut machine = Servers::knowing(&url);
    let made = planned(&mut machine, &url, "one-1", fault, with).unwrap().remove(0);
    let undo = machine.capture(&made, "one-1").unwrap();
    suite::apply(&mut machine, &made, &undo).unwrap();
    assert_eq!(server.eval(&format!("whereis('{}') =:= undefined.", mark_of("one-1"))), "false");
    assert!(alarms(server).starts_with("503"), "{}", alarms(server));
    let evidence = machine.observe(&[(&made, &undo)]).remove(0).unwrap();
    assert_eq!(evidence.effect, Effect::Seen, "{fault}: {evidence:?}");
    let reverted = machine.revert(&undo).unwrap();
    assert!(matches!(reverted, Reverted::Undone { .. }), "{fault}: {reverted:?}");
    assert!(alarms(server).starts_with("200"), "{}", alarms(server));
    assert_eq!(server.eval(&format!("whereis('{}').", mark_of("one-1"))), "undefined");
    evidence.summary
}

fn each_value_is_put_back_as_it_was(server: &RabbitServer) {
    let watermark = "vm_memory_monitor:get_vm_memory_high_watermark().";
    for before in ["0.4", "0.37", "{absolute,4000000000}"] {
        server.eval(&format!("vm_memory_monitor:set_vm_memory_high_watermark({before})."));
        let told = struck(server, "rabbitmq.memory_alarm", &json!({}));
        assert!(told.contains("the memory alarm of rabbit@localhost is on; 0 connections"), "{told}");
        assert_eq!(server.eval(watermark), before);
    }
    server.eval("rabbit_disk_monitor:set_disk_free_limit(\"64MB\").");
    struck(server, "rabbitmq.disk_alarm", &json!({}));
    assert_eq!(server.eval("rabbit_disk_monitor:get_disk_free_limit()."), "64000000");
}

fn what_is_on_already_is_refused(server: &RabbitServer) {
    server.ask(&["set_vm_memory_high_watermark", "0.00001"]);
    let url = server.url();
    let mut machine = Servers::knowing(&url);
    let made = step(&mut machine, &url, "one-2", "rabbitmq.memory_alarm", &json!({}));
    let refused = machine.capture(&made, "one-2").unwrap_err().to_string();
    assert!(refused.contains("the memory alarm of rabbit@localhost is on already"), "{refused}");
    server.ask(&["set_vm_memory_high_watermark", "0.4"]);
    let without =
        planned(&mut machine, &server.url_without_cookie(), "one-3", "rabbitmq.memory_alarm", &json!({}));
    assert!(without.unwrap_err().contains("cookie_file="));
}
