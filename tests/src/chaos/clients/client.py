"""Calls endpoints the way an application in Python does, and says what became of each call.

Arguments: http, redis or postgres; a mode; workers for each endpoint; milliseconds from call to call;
milliseconds of patience; endpoints. A line for each call: endpoint, what became of it, microseconds to the
connection and in all.
"""
import errno
import http.client
import random
import socket
import struct
import sys
import threading
import time

SPEECH, MODE = sys.argv[1:3]
WORKERS = int(sys.argv[3])
PERIOD, PATIENCE = int(sys.argv[4]) / 1e3, int(sys.argv[5]) / 1e3
TARGETS = [(host, int(port)) for host, port in (text.rsplit(":", 1) for text in sys.argv[6:])]
WORDS = {
    errno.EHOSTUNREACH: "shed",
    errno.ECONNREFUSED: "refused",
    errno.ETIMEDOUT: "timeout",
    errno.EADDRNOTAVAIL: "portless",
}
# Of the calls of a pool, those before which the connection has idled for longer than servers keep it.
STALE = 0.03
IDLE = 1.5


class Failed(Exception):
    """The server said that it failed."""


def ask_http(target, connected, connection=None):
    """One request; on a connection of its own unless it is given one."""
    own = connection or http.client.HTTPConnection(*target, timeout=PATIENCE)
    try:
        if own.sock is None:
            own.connect()
        connected()
        own.request("GET", "/")
        answer = own.getresponse()
        answer.read()
        if answer.status >= 500:
            raise Failed
    finally:
        if connection is None:
            own.close()


def ask_redis(target, connected):
    """One PING."""
    with socket.create_connection(target, PATIENCE) as stream:
        connected()
        stream.sendall(b"*1\r\n$4\r\nPING\r\n")
        answer = stream.recv(64)
        if not answer:
            raise ConnectionResetError
        if not answer.startswith(b"+PONG"):
            raise Failed


def ask_postgres(target, connected):
    """Logs in and counts the orders."""
    with socket.create_connection(target, PATIENCE) as stream:
        connected()
        body = struct.pack("!i", 196608) + b"user\0chaos\0database\0postgres\0\0"
        stream.sendall(struct.pack("!i", len(body) + 4) + body)
        until_ready(stream)
        query = b"select count(*) from orders\0"
        stream.sendall(b"Q" + struct.pack("!i", len(query) + 4) + query)
        until_ready(stream)
        stream.sendall(b"X\0\0\0\4")


def until_ready(stream):
    """Reads messages until the server is ready for a query."""
    while True:
        kind, length = struct.unpack("!ci", exactly(stream, 5))
        exactly(stream, length - 4)
        if kind == b"E":
            raise Failed
        if kind == b"Z":
            return


def exactly(stream, size):
    """So many bytes."""
    data = b""
    while len(data) < size:
        part = stream.recv(size - len(data))
        if not part:
            raise ConnectionResetError
        data += part
    return data


def call(ask, target):
    """One call, told."""
    begun = time.monotonic()
    moments = []
    try:
        ask(target, lambda: moments.append(time.monotonic()))
        word = "ok"
    except Failed:
        word = "failed"
    except TimeoutError:
        word = "timeout"
    except OSError as error:
        word = WORDS.get(error.errno, "broken")
    except http.client.HTTPException:
        word = "broken"
    ended = time.monotonic()
    connect = (moments[0] if moments else ended) - begun
    line = f"{target[0]}:{target[1]} {word} {connect * 1e6:.0f} {(ended - begun) * 1e6:.0f}\n"
    sys.stdout.write(line)
    sys.stdout.flush()
    return word


def in_turn(target):
    """One call after the other."""
    due = time.monotonic() + random.random() * PERIOD
    while True:
        time.sleep(max(0, due - time.monotonic()))
        call(ASK, target)
        due = max(due + PERIOD, time.monotonic())


def insistent(target):
    """One call after the other, each made again twice unless it is answered."""
    while True:
        time.sleep(PERIOD)
        for _ in range(3):
            if call(ASK, target) == "ok":
                break


def at_once(target):
    """A call each period, whatever became of those before."""
    time.sleep(random.random() * PERIOD)
    while True:
        threading.Thread(target=call, args=(ASK, target), daemon=True).start()
        time.sleep(PERIOD)


def pooled(target):
    """Calls on one connection, which sometimes idles too long; such a call is made again."""
    connection = http.client.HTTPConnection(*target, timeout=PATIENCE)
    while True:
        time.sleep(IDLE if random.random() < STALE else PERIOD)
        on_pool = lambda target, connected: ask_http(target, connected, connection)
        if call(on_pool, target) != "ok":
            connection.close()
            call(on_pool, target)


ASK = {"http": ask_http, "redis": ask_redis, "postgres": ask_postgres}[SPEECH]
LIFE = {"turn": in_turn, "once": at_once, "pool": pooled, "retry": insistent}[MODE]
threading.stack_size(256 * 1024)
for target in TARGETS:
    for _ in range(WORKERS):
        threading.Thread(target=LIFE, args=(target,), daemon=True).start()
# Nothing is ever said to it; it ends when nobody is left to say it.
sys.stdin.read()
