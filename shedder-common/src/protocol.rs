//! What the first bytes of an answer say about the endpoint, where its protocol is named: the same
//! function in the kernel and on the host.
//!
//! Only what an endpoint says of itself is held against it, unless the policy wants every error. A
//! redirection and whatever is not understood say nothing.

/// A protocol whose answers can be read in plain text. Its number is that of
/// [`crate::verdict::Verdict::protocol`], where zero is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Protocol {
    /// HTTP/1.0 and 1.1.
    Http1 = 1,
    /// Redis, either version of its protocol.
    Redis = 2,
    /// `MySQL` and `MariaDB`.
    Mysql = 3,
    /// `PostgreSQL`, and poolers that speak like it.
    Postgres = 4,
}

impl Protocol {
    /// Every protocol.
    pub const ALL: [Self; 4] = [Self::Http1, Self::Redis, Self::Mysql, Self::Postgres];

    /// As a policy file names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Redis => "redis",
            Self::Mysql => "mysql",
            Self::Postgres => "postgres",
        }
    }

    /// As [`crate::verdict::Verdict::protocol`] has it.
    pub const fn code(self, errors: Errors) -> u16 {
        match errors {
            Errors::Server => self as u16,
            Errors::All => self as u16 | ALL_ERRORS,
        }
    }
}

/// Which errors an endpoint is held responsible for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Errors {
    /// Those that say that it cannot serve.
    #[default]
    Server,
    /// Those, and what may well be a mistake of the caller.
    All,
}

impl Errors {
    /// As a policy file names them.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::All => "all",
        }
    }
}

/// Set in [`crate::verdict::Verdict::protocol`]: every error is a failure.
const ALL_ERRORS: u16 = 1 << 8;

/// The first bytes of an answer; zeros behind its end.
pub type Start = [u8; START];

/// As many bytes of an answer as are looked at: enough for the code of a `PostgreSQL` error behind a
/// severity of twelve bytes, which is the longest translation of one.
pub const START: usize = 32;

/// Whether an answer that begins so says that the endpoint failed. An unknown protocol says nothing.
#[inline(always)]
pub fn is_failure(protocol: u16, start: &Start) -> bool {
    const HTTP1: u16 = Protocol::Http1 as u16;
    const REDIS: u16 = Protocol::Redis as u16;
    const MYSQL: u16 = Protocol::Mysql as u16;
    const POSTGRES: u16 = Protocol::Postgres as u16;
    let all = protocol & ALL_ERRORS != 0;
    match protocol & !ALL_ERRORS {
        HTTP1 => is_http1_failure(start),
        REDIS => is_redis_error(start) && (all || is_redis_failure(start)),
        MYSQL => is_mysql_error(start) && (all || is_mysql_failure(start)),
        POSTGRES => is_postgres_error(start) && (all || is_postgres_failure(start)),
        _ => false,
    }
}

/// Any status from 500 to 599.
#[inline(always)]
const fn is_http1_failure(start: &Start) -> bool {
    matches!(
        start,
        [
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'1',
            b'.',
            b'0' | b'1',
            b' ',
            b'5',
            b'0'..=b'9',
            b'0'..=b'9',
            ..
        ]
    )
}

/// An error, but no redirection to another node of a cluster.
#[inline(always)]
const fn is_redis_error(start: &Start) -> bool {
    let [b'-', text @ ..] = start else { return false };
    !matches!(
        text,
        [b'M', b'O', b'V', b'E', b'D', b' ', ..] | [b'A', b'S', b'K', b' ', ..] | [0, ..]
    )
}

/// The code words of a server that cannot serve. `ERR` is the word for most mistakes of a caller, so of
/// it only two texts count: of a server that takes no more clients, and of a proxy without its server.
#[inline(always)]
const fn is_redis_failure(start: &Start) -> bool {
    let [_, text @ ..] = start;
    matches!(text, [b'B', b'U', b'S', b'Y', b' ', ..] | [b'O', b'O', b'M', b' ', ..])
        || matches!(
            text.first_chunk(),
            Some(
                b"LOADING "
                    | b"MASTERDO"
                    | b"CLUSTERD"
                    | b"READONLY"
                    | b"MISCONF "
                    | b"NOREPLIC"
                    | b"TRYAGAIN"
                    | b"ERR max "
                    | b"ERR Conn"
            )
        )
}

/// An error packet, whose length tells it from encrypted bytes.
#[inline(always)]
const fn is_mysql_error(start: &Start) -> bool {
    matches!(start, [_, 0..=3, 0, _, 0xff, ..])
}

/// The number of a server that cannot serve.
#[inline(always)]
const fn is_mysql_failure(start: &Start) -> bool {
    let [_, _, _, _, _, low, high, ..] = *start;
    matches!(
        u16::from_le_bytes([low, high]),
        // The disk is full, memory or threads are short, the storage fails.
        1021 | 1030 | 1037 | 1041 | 1114 | 1135
        // Too many connections: in all, of this user.
        | 1040 | 1203
        // It is shutting down, or blocks this host.
        | 1053 | 1129
        // Locks are not had in time.
        | 1205
        // It takes no writes, as after a failover.
        | 1290 | 1836
    )
}

/// An error, of whatever severity.
#[inline(always)]
const fn is_postgres_error(start: &Start) -> bool {
    matches!(start, [b'E', 0, 0, _, _, b'S', ..])
}

/// A code, the field `C`, of a class about the server. It stands behind one or two
/// severities of five bytes at least, of which the first is translated.
#[inline(always)]
fn is_postgres_failure(start: &Start) -> bool {
    let mut fields = start.windows(7).skip(11);
    let Some([_, _, code @ ..]) = fields.find(|field| field.starts_with(b"\0C")) else {
        return false;
    };
    matches!(
        code,
        // Connection, resources, system, configuration, internal.
        [b'0', b'8', ..] | [b'5', b'3' | b'8', ..] | [b'F', b'0', ..] | [b'X', b'X', ..]
        // An operator's doing, but not a query that was cancelled (57014).
        | [b'5', b'7', b'P', ..]
        // It takes no writes, as after a failover.
        | b"25006"
    )
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::format;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn start(answer: &[u8]) -> Start {
        let mut start = [0; START];
        for (to, from) in start.iter_mut().zip(answer) {
            *to = *from;
        }
        start
    }

    fn fails(protocol: Protocol, answer: &[u8]) -> bool {
        is_failure(protocol as u16, &start(answer))
    }

    fn mysql(length: u32, code: u16) -> Vec<u8> {
        let [low, middle, high, _] = length.to_le_bytes();
        let [first, second] = code.to_le_bytes();
        [&[low, middle, high, 1, 0xff, first, second], &b"#HY000some text"[..]].concat()
    }

    fn postgres(severity: &str, code: &str) -> Vec<u8> {
        let fields = format!("S{severity}\0VERROR\0C{code}\0Msome text\0\0");
        [b"E\0\0\0\x63", fields.as_bytes()].concat()
    }

    #[test]
    fn http1_fails_by_its_status() {
        for status in ["HTTP/1.1 500 Oops\r\n", "HTTP/1.0 503\r\n", "HTTP/1.1 599 \r\n"] {
            assert!(fails(Protocol::Http1, status.as_bytes()), "{status}");
        }
        for status in [
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\n",
            "HTTP/1.1 429 Too Many Requests\r\n",
            "HTTP/1.1 5",
            "HTTP/1.1 50",
            "HTTP/2 500\r\n",
            "<p>HTTP/1.1 500",
        ] {
            assert!(!fails(Protocol::Http1, status.as_bytes()), "{status}");
        }
    }

    #[test]
    fn redis_fails_by_its_word() {
        for reply in [
            "-LOADING Redis is loading the dataset in memory\r\n",
            "-BUSY Redis is busy running a script.\r\n",
            "-MASTERDOWN Link with MASTER is down\r\n",
            "-CLUSTERDOWN Hash slot not served\r\n",
            "-OOM command not allowed when used memory > 'maxmemory'.\r\n",
            "-READONLY You can't write against a read only replica.\r\n",
            "-MISCONF Redis is configured to save RDB snapshots\r\n",
            "-NOREPLICAS Not enough good replicas to write.\r\n",
            "-TRYAGAIN Multiple keys request during rehashing of slot\r\n",
            "-ERR max number of clients reached\r\n",
            "-ERR Connection refused\r\n",
        ] {
            assert!(fails(Protocol::Redis, reply.as_bytes()), "{reply}");
        }
        for reply in [
            "+OK\r\n",
            "$-1\r\n",
            "_\r\n",
            "-ERR unknown command 'FOO'\r\n",
            "-ERR value is not an integer or out of range\r\n",
            "-WRONGTYPE Operation against a key\r\n",
            "-NOAUTH Authentication required.\r\n",
            "-MOVED 3999 127.0.0.1:6381\r\n",
            "-ASK 3999 127.0.0.1:6381\r\n",
            "-BUSYGROUP Consumer Group name already exists\r\n",
            "-LOADING",
            "-",
            "LOADING ",
        ] {
            assert!(!fails(Protocol::Redis, reply.as_bytes()), "{reply}");
        }
    }

    #[test]
    fn mysql_fails_by_its_error_number() {
        for code in [1040, 1053, 1203, 1205, 1290, 1836] {
            assert!(fails(Protocol::Mysql, &mysql(23, code)), "{code}");
        }
        // Denied, unknown database, syntax, duplicate key, deadlock, interrupted.
        for code in [1045, 1049, 1064, 1062, 1213, 1317] {
            assert!(!fails(Protocol::Mysql, &mysql(23, code)), "{code}");
        }
        assert!(!fails(Protocol::Mysql, b"\x07\0\0\x01\0\0\0\x02\0\0\0"), "OK");
        assert!(!fails(Protocol::Mysql, b"\x4a\0\0\0\x0a8.0.36\0"), "a greeting");
        assert!(!fails(Protocol::Mysql, &mysql(0x3_0317, 1040)), "TLS");
    }

    #[test]
    fn postgres_fails_by_the_class_of_its_code() {
        for severity in ["ERROR", "FATAL", "FEHLER", "ОШИБКА"] {
            for code in ["08006", "25006", "53300", "57P03", "58030", "F0000", "XX000"] {
                assert!(fails(Protocol::Postgres, &postgres(severity, code)), "{code}");
            }
            for code in ["42601", "23505", "28P01", "3D000", "40001", "57014", "25P02"] {
                assert!(!fails(Protocol::Postgres, &postgres(severity, code)), "{code}");
            }
        }
        let old = b"E\0\0\0\x41SFATAL\0C53300\0Mtoo many clients\0\0";
        assert!(fails(Protocol::Postgres, old), "before 9.6, and poolers");
        assert!(!fails(Protocol::Postgres, b"Z\0\0\0\x05I"));
        assert!(!fails(Protocol::Postgres, b"N\0\0\0\x41SNOTICE\0VNOTICE\0C53300\0Mtext\0\0"));
        assert!(!fails(Protocol::Postgres, b"E"));
    }

    #[test]
    fn every_error_counts_where_that_is_wanted() {
        let fails = |protocol: Protocol, answer: &[u8]| {
            is_failure(protocol.code(Errors::All), &start(answer))
        };
        assert!(fails(Protocol::Redis, b"-ERR unknown command 'FOO'\r\n"));
        assert!(fails(Protocol::Redis, b"-WRONGTYPE Operation against a key\r\n"));
        assert!(fails(Protocol::Mysql, &mysql(23, 1064)));
        assert!(fails(Protocol::Postgres, &postgres("ERROR", "42601")));
        assert!(fails(Protocol::Http1, b"HTTP/1.1 503\r\n"));
        // Neither good answers, nor redirections, nor what is cut short.
        assert!(!fails(Protocol::Redis, b"+OK\r\n"));
        assert!(!fails(Protocol::Redis, b"-MOVED 3999 127.0.0.1:6381\r\n"));
        assert!(!fails(Protocol::Redis, b"-ASK 3999 127.0.0.1:6381\r\n"));
        assert!(!fails(Protocol::Redis, b"-"));
        assert!(!fails(Protocol::Mysql, b"\x07\0\0\x01\0\0\0\x02\0\0\0"));
        assert!(!fails(Protocol::Mysql, &mysql(0x3_0317, 1064)), "TLS");
        assert!(!fails(Protocol::Postgres, b"Z\0\0\0\x05I"));
        assert!(!fails(Protocol::Http1, b"HTTP/1.1 404 Not Found\r\n"));
    }

    #[test]
    fn no_protocol_says_nothing() {
        assert!(!is_failure(0, &start(b"HTTP/1.1 500 Oops\r\n")));
        assert!(!is_failure(u16::MAX, &start(b"HTTP/1.1 500 Oops\r\n")));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(protocol in 0_u16..6, start: Start) {
            let _failed = is_failure(protocol, &start);
        }

        /// Whatever a cut leaves, it is no failure unless the whole of it was one.
        #[test]
        fn what_is_cut_short_never_fails_by_itself(code in 0_u16..4096, length in 0_usize..20) {
            let answer = mysql(23, code);
            let cut = &answer[..length];
            prop_assert!(fails(Protocol::Mysql, &answer) || !fails(Protocol::Mysql, cut));
        }
    }
}
