//! A look goes where something happened: whatever begins at a slot marks it, and marks no other.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};

use shedder_common::caller::CallerRow;
use shedder_common::dirty;
use shedder_common::endpoint::EndpointKey;
use shedder_common::verdict::Verdict;
use shedder_tests::backend::Behaviour;
use shedder_user::clock::now;
use shedder_user::kernel::{Kernel, LoadOptions, Needs};

use crate::scene::{LOCALHOST, PATIENCE, attach, backend, caller, wait_for};

#[test]
fn whatever_begins_at_a_slot_marks_it() {
    let (mut caller, cgroup) = caller("dirty");
    let options = LoadOptions { slots: OTHERS + 2, round_trips: false, debug: false };
    let mut kernel = Kernel::load(&options).expect("root may load them");
    let whose = CallerRow { id: CALLER, asks: 0, cohort: 0 };
    let _attachment = attach(&mut kernel, &cgroup, whose, NEEDS);
    for port in 1..=OTHERS {
        let port = u16::try_from(port).expect("they are few");
        add(&mut kernel, SocketAddr::new(LOCALHOST, port));
    }
    let backend = backend(Behaviour::Healthy);
    let slot = add(&mut kernel, backend.addr());
    assert!(marked(&mut kernel).is_empty(), "nothing has happened");

    let connection = caller.open(backend.addr(), PATIENCE).expect("it opens");
    assert_eq!(marked(&mut kernel), [slot], "a connect");
    assert!(marked(&mut kernel).is_empty(), "they are cleared by being read");

    for turn in 1..=2 {
        assert!(caller.request(connection, PATIENCE).expect("it lives").answered());
        assert_eq!(marked(&mut kernel), [slot], "request {turn}");
    }
    caller.close(connection).expect("it closes");
    wait_for("the mark of its end", || marked(&mut kernel) == [slot]);

    let greeter = TcpListener::bind((LOCALHOST, 0)).expect("a port is free");
    let address = greeter.local_addr().expect("it has one");
    let slot = add(&mut kernel, address);
    let connection = caller.open(address, PATIENCE).expect("it opens");
    assert_eq!(marked(&mut kernel), [slot], "a connect");
    let (mut stream, _) = greeter.accept().expect("it was called");
    stream.write_all(b"220 ready\n").expect("it is connected");
    wait_for("the mark of a greeting", || marked(&mut kernel) == [slot]);
    caller.close(connection).expect("it closes");
}

/// Gives an endpoint a slot through which everything passes.
fn add(kernel: &mut Kernel, endpoint: SocketAddr) -> u32 {
    let slot = kernel.add_slot(EndpointKey::new(CALLER, endpoint), now()).expect("one is free");
    kernel.publish(slot, &Verdict { generation: slot.generation, ..Verdict::CLEAR });
    slot.slot
}

/// The slots that are marked, which are so no more.
fn marked(kernel: &mut Kernel) -> Vec<u32> {
    let mut marked = Vec::new();
    for word in 0..kernel.dirty_words() {
        let bits = kernel.take_dirty(word);
        let slots = (0..dirty::BITS).map(|bit| word * dirty::BITS + bit);
        marked.extend(slots.filter(|slot| bits & dirty::bit(*slot) != 0));
    }
    marked
}

const CALLER: u32 = 1;
/// So many that the slots of interest are in the second word.
const OTHERS: u32 = 70;
const NEEDS: Needs = Needs { packets: true, peer_names: false, datagrams: false };
