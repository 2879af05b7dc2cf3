//! How long handshakes and answers took, as the kernel counted them.

use shedder_tests::backend::Behaviour;
use shedder_tests::daemon::Daemon;

use crate::scene::{LASTING, PATIENCE, assert_all_answered, backend, caller, policy};

#[test]
fn a_histogram_has_every_call_in_it() {
    let (mut caller, cgroup) = caller("measured");
    let backend = backend(Behaviour::Healthy);
    let endpoint = backend.addr().to_string();
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], LASTING)).expect("it starts");
    let nothing = daemon.succeed(&["histogram", &endpoint]).expect("it answers");
    assert!(nothing.contains("response: nothing was measured"), "{nothing}");
    assert_all_answered(&caller.call_many(backend.addr(), 20, PATIENCE).expect("it lives"));
    let text = daemon.succeed(&["histogram", &endpoint, "--caller", "app"]).expect("it answers");
    assert!(text.starts_with(&format!("app calling db at {endpoint}\n")), "{text}");
    for part in ["\nresponse: 20 measured, p50 ", "\nconnect: 20 measured, p50 ", "us - "] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    let json = daemon.succeed(&["histogram", &endpoint, "--json"]).expect("it answers");
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    for kind in ["connect", "response"] {
        let buckets = json[kind]["buckets"].as_array().expect("buckets");
        let counts: u64 = buckets.iter().filter_map(|bucket| bucket["count"].as_u64()).sum();
        assert_eq!((counts, &json[kind]["samples"]), (20, &serde_json::json!(20)));
        assert!(buckets[0]["from_us"].as_u64() < buckets[0]["below_us"].as_u64());
    }
    assert_eq!(json["breakers"][0]["caller"], "app");
    let unknown = daemon.command(&["histogram", "192.0.2.1:1"]).expect("it runs");
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("has no breaker"));
}
