//! Answers as bytes, laid out by hand after `linux/inet_diag.h` and `linux/tcp.h`.

use proptest::prelude::*;

use super::*;

const SEQUENCE: u32 = 7;
const COOKIE: u64 = 0x1002;
const CGROUP: u64 = 4711;

/// Bytes of an answer about one socket.
const LENGTH: u32 = 336;
/// Offsets in an answer about one socket.
const STATE: usize = 17;
const UNREAD: usize = 72;
const UNACKED_BYTES: usize = 76;
const INFO: usize = 88 + 12 + 4;
const UNACKED_SEGMENTS: usize = INFO + 24;
const SINCE_SENT: usize = INFO + 44;
const SINCE_RECEIVED: usize = INFO + 52;
const SINCE_ACKNOWLEDGED: usize = INFO + 56;
const SEGMENTS_RECEIVED: usize = INFO + 152;
const SEGMENTS_SENT: usize = INFO + 156;

/// A connection from port 1 to `peer` that sent 1500 ms ago and had its answer 1400 ms ago.
fn socket(family: u8, peer: &str) -> Vec<u8> {
    let peer: SocketAddr = peer.parse().expect("an address");
    let mut bytes = [LENGTH.to_ne_bytes(), [20, 0, 2, 0], SEQUENCE.to_ne_bytes(), [0; 4]].concat();
    bytes.extend([family, TCP_ESTABLISHED, 0, 0]);
    bytes.extend([1_u16.to_be_bytes(), peer.port().to_be_bytes()].concat());
    bytes.extend([0; 16]);
    let mut address = match peer.ip() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    address.resize(16, 0);
    bytes.extend(address);
    bytes.extend([0; 4]);
    bytes.extend(COOKIE.to_ne_bytes());
    bytes.extend([0; 20]);
    bytes.extend([[12, 0, 21, 0].as_slice(), &CGROUP.to_ne_bytes()].concat());
    bytes.extend([236, 0, 2, 0]);
    bytes.extend([0; 232]);
    set(&mut bytes, SINCE_SENT, 1500);
    for at in [SINCE_RECEIVED, SINCE_ACKNOWLEDGED] {
        set(&mut bytes, at, 1400);
    }
    for at in [SEGMENTS_SENT, SEGMENTS_RECEIVED] {
        set(&mut bytes, at, 1);
    }
    assert_eq!(bytes.len(), LENGTH as usize);
    bytes
}

fn set(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
}

/// `NLMSG_DONE`, or `NLMSG_ERROR` with what it is about.
fn end(kind: u8, code: i32) -> Vec<u8> {
    [20_u32.to_ne_bytes(), [kind, 0, 2, 0], SEQUENCE.to_ne_bytes(), [0; 4], code.to_ne_bytes()]
        .concat()
}

fn read_all(datagram: &[u8]) -> (Result<Answer, DiagError>, Vec<Socket>) {
    let mut sockets = Vec::new();
    let answer = read(datagram, SEQUENCE, &mut |response| {
        sockets.push(Socket::new(response)?);
        Ok(())
    });
    (answer, sockets)
}

fn read_one(datagram: &[u8]) -> Socket {
    let (answer, sockets) = read_all(datagram);
    assert_eq!(answer.expect("it is well-formed"), Answer::More);
    let [socket] = <[Socket; 1]>::try_from(sockets).expect("one socket");
    socket
}

#[test]
fn a_socket_is_read() {
    for (family, peer, canonical) in [
        (AF_INET, "10.0.0.1:5432", "10.0.0.1:5432"),
        (AF_INET6, "[fd00::1]:443", "[fd00::1]:443"),
        (AF_INET6, "[::ffff:10.0.0.1]:5432", "10.0.0.1:5432"),
    ] {
        let socket = read_one(&socket(family, peer));
        assert_eq!(socket.peer(), canonical.parse().expect("an address"));
        assert_eq!((socket.port(), socket.cookie(), socket.cgroup), (1, COOKIE, Some(CGROUP)));
        let silent = Duration::from_millis(1400);
        assert_eq!(socket.activity, Activity { silent, is_under_way: false });
    }
}

/// Of what is under way there are many signs, and one is enough.
#[test]
fn what_is_under_way_shows() {
    let is_under_way = |at, value| {
        let mut bytes = socket(AF_INET, "10.0.0.1:5432");
        set(&mut bytes, at, value);
        read_one(&bytes).activity.is_under_way
    };
    for at in [UNREAD, UNACKED_BYTES, UNACKED_SEGMENTS] {
        assert!(is_under_way(at, 1), "{at}");
    }
    assert!(is_under_way(SINCE_SENT, 1399), "asked after the last answer");
    assert!(!is_under_way(SINCE_SENT, 1400), "in the same tick, which says nothing");
    assert!(is_under_way(SEGMENTS_RECEIVED, 0), "never answered");
    // The endpoint has said that it will send no more.
    let mut closing = socket(AF_INET, "10.0.0.1:5432");
    closing[STATE] = 8;
    assert!(read_one(&closing).activity.is_under_way);
}

/// Asked and answered in the same tick of the kernel's clock: which came last?
#[test]
fn a_bare_acknowledgement_shows_a_question() {
    let is_under_way = |since_acknowledged| {
        let mut bytes = socket(AF_INET, "10.0.0.1:5432");
        set(&mut bytes, SINCE_SENT, 1400);
        set(&mut bytes, SINCE_ACKNOWLEDGED, since_acknowledged);
        read_one(&bytes).activity.is_under_way
    };
    // With the answer itself, 40 ms after it, or long after, when a keep-alive has been answered.
    assert_eq!([1400, 1360, 400, 0].map(is_under_way), [false, true, false, false]);
}

#[test]
fn a_socket_without_its_cgroup_is_nobodys() {
    let mut bytes = socket(AF_INET, "10.0.0.1:5432");
    bytes[90] = 99;
    assert_eq!(read_one(&bytes).cgroup, None);
}

#[test]
fn answers_end() {
    let of = |datagram: &[u8]| match read_all(datagram).0 {
        Ok(answer) => Ok(answer),
        Err(DiagError::Refused(error)) => Err(error.raw_os_error().expect("of the kernel")),
        Err(DiagError::Garbled(error)) => panic!("{error}"),
    };
    let (done, error) = (|code| end(3, code), |code| end(2, code));
    assert_eq!(of(&[]), Ok(Answer::More));
    assert_eq!(of(&done(0)), Ok(Answer::Complete));
    assert_eq!(of(&error(0)), Ok(Answer::Complete));
    assert_eq!(of(&done(-12)), Err(12));
    assert_eq!(of(&error(-95)), Err(95));
    assert_eq!(of(&error(i32::MIN)), Err(i32::MAX));
    let (answer, sockets) = read_all(&[socket(AF_INET, "10.0.0.1:1"), done(0)].concat());
    assert_eq!((answer.expect("well-formed"), sockets.len()), (Answer::Complete, 1));
}

#[test]
fn an_answer_to_another_question_is_not_heard() {
    let mut bytes = [socket(AF_INET, "10.0.0.1:1"), end(2, -1)].concat();
    for at in [8, LENGTH as usize + 8] {
        set(&mut bytes, at, SEQUENCE - 1);
    }
    let (answer, sockets) = read_all(&bytes);
    assert_eq!((answer.expect("well-formed"), sockets.len()), (Answer::More, 0));
}

/// The kernel is asked for the established sockets of one address and port.
#[test]
fn a_question_names_the_endpoint() {
    let bytes = |family, endpoint: &str| {
        bytes(&mut dump(family, endpoint.parse().expect("an address")), SEQUENCE)
    };
    let ipv4 = bytes(AF_INET, "10.0.0.1:5432");
    assert_eq!(ipv4[..8], [92, 0, 0, 0, 20, 0, 1, 3]);
    // Family, protocol, TCP's numbers; established and close-wait.
    assert_eq!(ipv4[16..24], [AF_INET, 6, 2, 0, 2, 1, 0, 0]);
    assert_eq!(ipv4[72..], [20, 0, 1, 0, 8, 16, 20, 0, 2, 32, 0, 0, 56, 21, 0, 0, 10, 0, 0, 1]);
    // The same address, for sockets that know it as a mapped one.
    assert_eq!(ipv4[72..], bytes(AF_INET6, "10.0.0.1:5432")[72..]);
    let ipv6 = bytes(AF_INET6, "[fd00::1]:5432");
    assert_eq!(ipv6[72..88], [32, 0, 1, 0, 8, 28, 32, 0, 10, 128, 0, 0, 56, 21, 0, 0]);
    assert_eq!(ipv6.len(), 104);
}

/// An order names the one socket by everything that is known of it, and wants an answer.
#[test]
fn an_order_names_the_socket() {
    let known = socket(AF_INET6, "[fd00::1]:443");
    let order = bytes(&mut destroy(&read_one(&known)), SEQUENCE);
    assert_eq!(order[..8], [72, 0, 0, 0, 21, 0, 5, 0]);
    assert_eq!(order[16..18], [AF_INET6, 6]);
    assert_eq!(order[24..72], known[20..68]);
}

#[test]
fn what_is_cut_off_is_no_socket() {
    let whole = [socket(AF_INET, "10.0.0.1:1"), end(3, 0)].concat();
    for length in 1..whole.len() {
        let (answer, sockets) = read_all(&whole[..length]);
        assert!(!matches!(answer, Ok(Answer::Complete)), "{length}");
        assert_eq!(sockets.len(), usize::from(length >= LENGTH as usize), "{length}");
    }
}

proptest! {
    #[test]
    fn nonsense_is_survived(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        changes in proptest::collection::vec((0_usize..LENGTH as usize + 20, any::<u8>()), 0..8),
    ) {
        drop(read_all(&bytes));
        let mut changed = [socket(AF_INET, "10.0.0.1:1"), end(3, 0)].concat();
        for (at, value) in changes {
            changed[at] = value;
        }
        prop_assert!(read_all(&changed).1.len() <= 1);
    }
}
