//! The questions to the kernel's table of sockets, and its answers, as bytes.
//!
//! Invariant: what is malformed is an error, never a socket.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader,
    NetlinkMessage, NetlinkPayload, NetlinkSerializable, Nla as _,
};
use netlink_packet_sock_diag::constants::{
    AF_INET, AF_INET6, IPPROTO_TCP, SOCK_DIAG_BY_FAMILY, TCP_ESTABLISHED,
};
use netlink_packet_sock_diag::inet::nlas::{Nla, TcpInfo};
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags,
};
use netlink_packet_sock_diag::{SockDiagDestroy, SockDiagMessage};

use super::super::Activity;
use super::DiagError;

#[cfg(test)]
mod tests;

/// A connected TCP socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kernel::connections) struct Socket {
    family: u8,
    id: SocketId,
    /// The id of its cgroup, if the kernel says it.
    pub(in crate::kernel::connections) cgroup: Option<u64>,
    pub(in crate::kernel::connections) activity: Activity,
}

/// Whether more answers follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    More,
    Complete,
}

/// A question for the sockets a filter lets pass.
#[derive(Debug)]
pub(super) struct Dump {
    request: InetRequest,
    filter: Option<DefaultNla>,
}

impl Socket {
    pub(in crate::kernel::connections) const fn cookie(&self) -> u64 {
        u64::from_ne_bytes(self.id.cookie)
    }

    /// Where it is connected to; an IPv4-mapped address is the IPv4 address it means.
    pub(in crate::kernel::connections) const fn peer(&self) -> SocketAddr {
        SocketAddr::new(self.id.destination_address.to_canonical(), self.id.destination_port)
    }

    /// Its own port.
    pub(in crate::kernel::connections) const fn port(&self) -> u16 {
        self.id.source_port
    }

    /// Fails without the numbers of TCP.
    pub(super) fn new(response: &InetResponse) -> Result<Self, DecodeError> {
        let header = &response.header;
        let (mut info, mut cgroup) = (None, None);
        for attribute in &response.nlas {
            if let Nla::TcpInfo(tcp_info) = attribute {
                info = Some(tcp_info);
            } else if attribute.kind() == CGROUP_ID && attribute.value_len() == size_of::<u64>() {
                let mut id = [0; size_of::<u64>()];
                attribute.emit_value(&mut id);
                cgroup = Some(u64::from_ne_bytes(id));
            }
        }
        let info = info.ok_or_else(|| DecodeError::from("a socket lacks the numbers of TCP"))?;
        let silent = info.last_data_sent.min(info.last_data_recv);
        Ok(Self {
            family: header.family,
            id: header.socket_id.clone(),
            cgroup,
            activity: Activity {
                silent: Duration::from_millis(silent.into()),
                is_under_way: header.state != TCP_ESTABLISHED
                    || (header.recv_queue, header.send_queue, info.unacked) != (0, 0, 0)
                    || awaits_answer(info),
            },
        })
    }
}

/// Whether the caller spoke last. The kernel's times are those of its ticks (4 ms at 250 Hz), so who
/// asks at once after an answer seems to have done both together; then the question shows by the
/// bare acknowledgement that comes for it, if it does not come at once as well.
fn awaits_answer(info: &TcpInfo) -> bool {
    // All three are milliseconds ago.
    let (asked, answered) = (info.last_data_sent, info.last_data_recv);
    let after_answer = answered.saturating_sub(info.last_ack_recv);
    let is_first = info.data_segs_out > 0 && info.data_segs_in == 0;
    is_first || asked < answered || asked == answered && (1..KEEP_ALIVE).contains(&after_answer)
}

/// A question for the sockets of a family that are connected to an endpoint.
pub(super) fn dump(family: u8, endpoint: SocketAddr) -> NetlinkMessage<Dump> {
    let states = StateFlags::ESTABLISHED | StateFlags::CLOSE_WAIT;
    let filter = DefaultNla::new(FILTER, filter(endpoint));
    question(family, states, ExtensionFlags::INFO, Some(filter))
}

/// A question for all sockets of a family that connect or are connected; that of a closed one may be among them.
pub(super) fn dump_living(family: u8) -> NetlinkMessage<Dump> {
    let none =
        StateFlags::LISTEN | StateFlags::SYN_RECV | StateFlags::CLOSE | StateFlags::TIME_WAIT;
    question(family, StateFlags::all() - none, ExtensionFlags::empty(), None)
}

fn question(
    family: u8,
    states: StateFlags,
    extensions: ExtensionFlags,
    filter: Option<DefaultNla>,
) -> NetlinkMessage<Dump> {
    let request = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions,
        states,
        socket_id: if family == AF_INET { SocketId::new_v4() } else { SocketId::new_v6() },
    };
    message(Dump { request, filter }, NLM_F_REQUEST | NLM_F_DUMP)
}

/// An order to end a connection.
pub(super) fn destroy(socket: &Socket) -> NetlinkMessage<SockDiagDestroy> {
    let request = SockDiagMessage::InetRequest(InetRequest {
        family: socket.family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::all(),
        socket_id: socket.id.clone(),
    });
    message(SockDiagDestroy::new(request), NLM_F_REQUEST | NLM_F_ACK)
}

/// A question with its number, as the kernel reads it.
pub(super) fn bytes<I: NetlinkSerializable>(
    question: &mut NetlinkMessage<I>,
    sequence: u32,
) -> Vec<u8> {
    question.header.sequence_number = sequence;
    question.finalize();
    let mut bytes = vec![0; question.buffer_len()];
    question.serialize(&mut bytes);
    bytes
}

/// Reads what the kernel sent at once, as far as it answers the question numbered `sequence`.
pub(super) fn read(
    mut datagram: &[u8],
    sequence: u32,
    take: &mut impl FnMut(&InetResponse) -> Result<(), DecodeError>,
) -> Result<Answer, DiagError> {
    while !datagram.is_empty() {
        let message = NetlinkMessage::<SockDiagMessage>::deserialize(datagram)?;
        let length = (message.header.length as usize).next_multiple_of(ALIGNMENT);
        datagram = datagram.get(length..).unwrap_or_default();
        if message.header.sequence_number != sequence {
            continue;
        }
        let payload = message.payload;
        if let NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) = payload {
            take(&response)?;
        } else if let NetlinkPayload::Done(done) = payload {
            return ended(done.code);
        } else if let NetlinkPayload::Error(error) = payload {
            return ended(error.raw_code());
        } else if !matches!(payload, NetlinkPayload::Noop) {
            return Err(DecodeError::from(format!("it is {payload:?}")).into());
        }
    }
    Ok(Answer::More)
}

fn ended(code: i32) -> Result<Answer, DiagError> {
    match code {
        0 => Ok(Answer::Complete),
        code => Err(io::Error::from_raw_os_error(code.saturating_abs()).into()),
    }
}

fn message<I>(inner: I, flags: u16) -> NetlinkMessage<I> {
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    NetlinkMessage::new(header, NetlinkPayload::InnerMessage(inner))
}

/// The kernel's filter for one address and port: a condition (`inet_diag_bc_op`) and what it compares
/// with (`inet_diag_hostcond`). An IPv4 address passes IPv4-mapped ones as well.
fn filter(endpoint: SocketAddr) -> Vec<u8> {
    let (family, address) = match endpoint.ip() {
        IpAddr::V4(address) => (AF_INET, address.octets().to_vec()),
        IpAddr::V6(address) => (AF_INET6, address.octets().to_vec()),
    };
    let bits = if family == AF_INET { 32 } else { 128 };
    let length = if family == AF_INET { 16_u8 } else { 28 };
    let mut filter = vec![PEER_IS, length];
    // Beyond the end, which is how a filter says no.
    filter.extend((u16::from(length) + 4).to_ne_bytes());
    filter.extend([family, bits, 0, 0]);
    filter.extend(i32::from(endpoint.port()).to_ne_bytes());
    filter.extend(address);
    filter
}

impl NetlinkSerializable for Dump {
    fn message_type(&self) -> u16 {
        SOCK_DIAG_BY_FAMILY
    }

    fn buffer_len(&self) -> usize {
        self.request.buffer_len() + self.filter.as_ref().map_or(0, Emitable::buffer_len)
    }

    fn serialize(&self, buffer: &mut [u8]) {
        let (request, filter) = buffer.split_at_mut(self.request.buffer_len());
        self.request.emit(request);
        if let Some(attribute) = &self.filter {
            attribute.emit(filter);
        }
    }
}

/// An acknowledgement this long after the last data, in milliseconds, is that of a keep-alive.
const KEEP_ALIVE: u32 = 1000;
/// `NLMSG_ALIGNTO`
const ALIGNMENT: usize = 4;
/// `INET_DIAG_REQ_BYTECODE`
const FILTER: u16 = 1;
/// `INET_DIAG_BC_D_COND`
const PEER_IS: u8 = 8;
/// `INET_DIAG_CGROUP_ID`
const CGROUP_ID: u16 = 21;
