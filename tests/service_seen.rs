//! The example of a service, scraped by a real Prometheus while it works.
#![cfg(all(feature = "http", feature = "postgres"))]

mod support;
#[path = "../examples/service/work.rs"]
mod work;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use support::child::{Program, as_child};
use support::cluster::cluster;
use support::prometheus::assert_valid;
use support::scraping::{Prometheus, SCRAPED, of_alerts, of_panels};
use support::wait::eventually;
use support::web::get;

/// Says that this process is to be the service.
const IS_SERVICE: &str = "TIERPOOL_TEST_SERVES";

/// No test of its own: the service, as a child process.
#[test]
fn runs_the_service_as_a_child() {
    if std::env::var_os(IS_SERVICE).is_some() {
        work::run("127.0.0.1:0", u32::MAX).unwrap();
    }
}

#[test]
fn each_expression_of_dashboard_and_alerts_has_an_answer_while_the_service_works() {
    let cluster = cluster();
    let mut command = as_child("runs_the_service_as_a_child");
    // In a fleet, since some of the expressions are of fleets.
    command.env(IS_SERVICE, "1").env("DATABASE_URL", cluster.url()).env("DB_POOL_FLEET", "services");
    let mut program = Program(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(program.0.stdout.take().unwrap()).lines().map_while(Result::ok);
    let line = lines.find_map(|line| Some(line.split_once("to be seen at http://")?.1.to_owned()));
    let addr: std::net::SocketAddr = line.expect("it says where").trim_end_matches('/').parse().unwrap();
    // So that it can go on to write.
    std::thread::spawn(move || lines.for_each(drop));

    let prometheus = Prometheus::scraping(addr.port());
    for expr in of_panels().iter().chain(&of_alerts()) {
        eventually(SCRAPED, expr, || !prometheus.answers(expr).is_empty());
    }
    let items = "sum(rate(db_pool_batch_items_total{outcome=\"committed\"}[5s]))";
    eventually(SCRAPED, "items are seen to be done", || {
        prometheus.answers(items).first().is_some_and(|(_, rate)| *rate > 0.0)
    });
    assert_valid(&get(addr, "/metrics").body);
}
