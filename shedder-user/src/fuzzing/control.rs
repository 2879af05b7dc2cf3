//! The control socket and the pages: whatever is sent, the conversation ends, nobody but root gives an
//! order, and over TCP nobody does.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::runtime::Builder;
use tokio::sync::{broadcast, mpsc};
use tokio::time::timeout;

use super::Input;
use crate::api::model::{
    BreakerName, Event, EventKind, Explanation, Fates, Glance, Histograms, Node, Overridden,
    Reloaded, Status,
};
use crate::api::{self, Control, Follow, Operator};
use crate::web;

/// The first byte says where the rest is sent to, by whom, and what becomes of it.
pub(super) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let flags = input.byte();
    let talk = Talk {
        is_web: flags & 1 != 0,
        operator: match flags >> 1 & 3 {
            0 => None,
            1 => Some(Operator { uid: 1000, pid: Some(7) }),
            _ => Some(Operator { uid: 0, pid: None }),
        },
        is_refusing: flags & 8 != 0,
        is_ending: flags & 16 != 0,
    };
    let runtime = Builder::new_current_thread().enable_time().build().expect("there is memory");
    let answer = runtime.block_on(talk.held(input.rest()));
    // The first line is ours; what follows may repeat what was asked.
    let status = answer.get(..12).map(<[u8]>::to_vec);
    if let Some(status) = status {
        let is_expected = [
            &b"100"[..],
            b"200",
            b"400",
            b"403",
            b"404",
            b"405",
            b"408",
            b"413",
            b"414",
            b"421",
            b"422",
            b"429",
            b"431",
            b"503",
        ]
        .contains(&&status[9..]);
        assert!(is_expected, "{}", String::from_utf8_lossy(&answer));
    }
}

struct Talk {
    is_web: bool,
    operator: Option<Operator>,
    /// The daemon answers what may fail with an error.
    is_refusing: bool,
    /// The daemon ends before it answers.
    is_ending: bool,
}

impl Talk {
    /// Everything that is answered.
    async fn held(&self, request: &[u8]) -> Vec<u8> {
        let (mut client, server) = duplex(64 * 1024);
        let (control, mut questions) = mpsc::channel(64);
        let (events, _) = broadcast::channel(4);
        let serving = tokio::spawn(serve(server, control, self.is_web, self.operator));
        let daemon = async {
            if self.is_ending {
                drop(questions);
                return;
            }
            while let Some(question) = questions.recv().await {
                self.judge(&question);
                answer(question, &events, self.is_refusing);
            }
        };
        let talk = async {
            let mut answer = Vec::new();
            let (mut reader, mut writer) = tokio::io::split(&mut client);
            let send = async {
                // It may hang up first.
                let _outcome = writer.write_all(request).await;
                let _outcome = writer.shutdown().await;
            };
            let receive = reader.read_to_end(&mut answer);
            let ((), received) = tokio::join!(send, receive);
            drop(received);
            answer
        };
        let both = async {
            tokio::select! {
                biased;
                answer = talk => answer,
                () = async { daemon.await; std::future::pending::<()>().await } => Vec::new(),
            }
        };
        let answer = timeout(PATIENCE, both).await.expect("the conversation does not end");
        serving.abort();
        answer
    }

    fn judge(&self, question: &Control) {
        let is_order = matches!(question, Control::Override(..) | Control::Reload(..));
        let is_root = self.operator.is_some_and(|operator| operator.uid == 0);
        assert!(!is_order || is_root && !self.is_web, "{question:?}");
        assert!(!self.is_web || !matches!(question, Control::Record(..)), "{question:?}");
    }
}

async fn serve(
    server: DuplexStream,
    control: mpsc::Sender<Control>,
    is_web: bool,
    operator: Option<Operator>,
) {
    if is_web {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 9464));
        web::converse_with(server, control, address).await;
    } else {
        api::converse_with(server, control, operator).await;
    }
}

/// What a daemon might say. A client that has gone away is no error.
fn answer(question: Control, events: &broadcast::Sender<Event>, is_refusing: bool) {
    let refusal = || "because".to_owned();
    match question {
        Control::Status(answer) => drop(answer.send(Status { breakers: Vec::new(), node: node() })),
        Control::Glance(answer) => {
            let at = "now".to_owned();
            let glance = Glance { at, breakers: Vec::new(), others: 0, node: node() };
            drop(answer.send(glance));
        }
        Control::Metrics(answer) => drop(answer.send("metrics".into())),
        Control::Points(answer) => drop(answer),
        Control::Ready(answer) => {
            drop(answer.send(if is_refusing { Err(refusal()) } else { Ok(()) }));
        }
        Control::Events(answer) => {
            let event = |sequence| Event {
                sequence,
                at: "now".to_owned(),
                kind: EventKind::Stopping,
                text: String::new(),
            };
            let future = events.subscribe();
            drop(events.send(event(4)));
            drop(answer.send(Follow { past: (1..4).map(event).collect(), future }));
        }
        Control::Explain(_, answer) => {
            let empty = Explanation { breakers: Vec::new(), refusals: Vec::new() };
            drop(answer.send(if is_refusing { Err(refusal()) } else { Ok(empty) }));
        }
        Control::Histogram(_, answer) => {
            let none = Err::<Histograms, String>(refusal());
            drop(answer.send(none));
        }
        Control::Record(_, answer) => {
            let (sender, frames) = mpsc::channel(1);
            drop(sender.try_send("frame".into()));
            drop(answer.send(if is_refusing { Err(refusal()) } else { Ok(frames) }));
        }
        Control::Override(order, _, answer) => {
            let name = BreakerName {
                caller: order.caller.unwrap_or_default(),
                service: String::new(),
                endpoint: order.endpoint,
                network: order.network,
            };
            let done = Overridden { breakers: vec![name] };
            drop(answer.send(if is_refusing { Err(refusal()) } else { Ok(done) }));
        }
        Control::Reload(order, _, answer) => {
            let done = Reloaded {
                applied: !order.check,
                generation: 1,
                changes: Vec::new(),
                breakers: Fates::default(),
            };
            drop(answer.send(if is_refusing { Err(refusal()) } else { Ok(done) }));
        }
    }
}

fn node() -> Node {
    Node {
        version: "0.1.0".to_owned(),
        pid: 1,
        listen: None,
        started: "now".to_owned(),
        generation: 1,
        loaded: "now".to_owned(),
        reload_error: None,
        journal_error: None,
        tick_ms: 100,
        verdict_ttl_ms: 3000,
        cgroups: Vec::new(),
        endpoints: 0,
        max_endpoints: 1,
        events_lost: 0,
        events_undecodable: 0,
        untagged: 0,
        stored_tags: 0,
        untold_ends: 0,
        actions_failed: 0,
        held: 0,
        holds_over: 0,
        degradations: Vec::new(),
    }
}

/// More than anything takes on a machine with other things to do.
const PATIENCE: Duration = Duration::from_secs(10);
