"""How long others wait while many clients make TLS handshakes all at once.

    .venv/bin/python bench/tls_storm.py [--handshakes 2000] [--at-once 200]

A hub has a listener with TLS. A client of it, in a process of its own, sends a ping
every two milliseconds and times the pong, which the pump answers by itself: first
with nothing else to do, then while other processes make handshakes as fast as they
can. Read the two rows beside each other; the machine's other work is in both.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import selectors
import socket
import ssl
import statistics
import subprocess
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

from wire import PING, PONG_SIZE, REQUEST

import wssend

PACE = 0.002  # seconds between two pings


def context() -> ssl.SSLContext:
    """A client's, which believes every server."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


def watch(port: int, control: Connection) -> None:
    """The bystander: each message on the pipe begins another row."""
    raw = socket.create_connection(("127.0.0.1", port))
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with context().wrap_socket(raw) as sock:
        sock.sendall(REQUEST)
        assert b"101" in sock.recv(4096)
        control.send("ready")
        while control.recv() == "begin":
            rtts = []
            while not control.poll():
                begin = time.perf_counter()
                sock.sendall(PING)
                got = 0
                while got < PONG_SIZE:
                    got += len(sock.recv(PONG_SIZE - got))
                rtts.append(time.perf_counter() - begin)
                time.sleep(PACE)
            assert control.recv() == "end"
            control.send(rtts)


def storm(port: int, count: int, at_once: int) -> None:
    """Makes `count` handshakes, `at_once` of them at any time, and leaves."""
    os.nice(40)  # the figures are of the server, not of how the CPU is shared
    tls = context()
    selector = selectors.DefaultSelector()
    begun = done = 0

    def begin() -> None:
        raw = socket.socket()
        raw.setblocking(False)
        raw.connect_ex(("127.0.0.1", port))
        sock = tls.wrap_socket(raw, do_handshake_on_connect=False)
        selector.register(sock, selectors.EVENT_WRITE)

    while done < count:
        while begun < count and begun - done < at_once:
            begin()
            begun += 1
        for key, _ in selector.select():
            sock = key.fileobj
            assert isinstance(sock, ssl.SSLSocket)
            try:
                sock.do_handshake()
            except ssl.SSLWantReadError:
                selector.modify(sock, selectors.EVENT_READ)
            except ssl.SSLWantWriteError:
                selector.modify(sock, selectors.EVENT_WRITE)
            else:
                selector.unregister(sock)
                sock.close()
                done += 1


def make_pair(folder: str) -> Path:
    """A certificate and its key in one file."""
    cert, key, both = (Path(folder, name) for name in ("cert", "key", "both"))
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"]
    command += ["-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=localhost"]
    command += ["-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    both.write_bytes(key.read_bytes() + cert.read_bytes())
    return both


def show(what: str, rtts: list[float]) -> None:
    cuts = statistics.quantiles(rtts, n=1000)
    figures = [cuts[499], cuts[989], cuts[998], max(rtts)]
    print(f"{what:24}" + "".join(f"{1000 * value:10.2f}" for value in figures))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--handshakes", type=int, default=2000)
    parser.add_argument("--at-once", type=int, default=200)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")

    with tempfile.TemporaryDirectory() as folder, wssend.WSHub() as hub:
        port = hub.listen("127.0.0.1", 0, tls_cert=make_pair(folder)).port
        assert port is not None
        ours, theirs = spawn.Pipe()
        watcher = spawn.Process(target=watch, args=(port, theirs))
        watcher.start()
        assert ours.recv() == "ready"

        ours.send("begin")
        time.sleep(3)
        ours.send("end")
        alone = ours.recv()

        share = (port, options.handshakes // options.processes, options.at_once)
        storms = [
            spawn.Process(target=storm, args=share) for _ in range(options.processes)
        ]
        ours.send("begin")
        begin = time.perf_counter()
        for process in storms:
            process.start()
        for process in storms:
            process.join()
        taken = time.perf_counter() - begin
        ours.send("end")
        among = ours.recv()
        ours.send("over")
        watcher.join()

    print(f"{'ms':24}" + "".join(f"{s:>10}" for s in ("p50", "p99", "p99.9", "max")))
    show("alone", alone)
    show("in the storm", among)
    rate = options.handshakes / taken
    print(f"{options.handshakes} handshakes in {taken:.1f} s, {rate:.0f} a second")


if __name__ == "__main__":
    main()
