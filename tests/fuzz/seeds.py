"""Writes the inputs that the fuzz targets begin with: seeds.py FOLDER.

A target finds its way from good inputs and from ones with a single fault sooner
than from nothing. A function of a target's name yields its seeds; what a target
takes from the end of its input (fuzz.h) is appended by `chosen`.
"""

from __future__ import annotations

import hashlib
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
UPGRADE = [
    "Host: example.com:8765",
    "Upgrade: websocket",
    "Connection: keep-alive, Upgrade",
    KEY,
    "Sec-WebSocket-Version: 13",
]
BROWSER = [
    *UPGRADE,
    "Origin: https://example.com",
    "Sec-WebSocket-Protocol: chat, graphql-ws",
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
    "Cookie: a=b; c=d",
    "X-Forwarded-For: 1.2.3.4, [::1]:80",
]
TEXTS = [
    b"plain",
    "Grüße, 世界 😀".encode(),
    b"\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80",
    b"\xf4\x8f\xbf\xbf",
    *(b"a" * 9 + bad for bad in (b"\x80", b"\xc0\x80", b"\xc3", b"\xe0\x9f\x80")),
    *(bad + b"a" for bad in (b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf0\x9f\x98")),
]


def chosen(data: bytes, *choices: int) -> bytes:
    """The input whose target takes these bytes, the first one first."""
    return data + bytes(reversed(choices))


CUTS = [(0,), (1, 1), (3, 2, 5, 0x81), (8, 1, 0, 7, 125, 3, 1, 2, 40)]


def cut(data: bytes, *choices: int) -> Iterator[bytes]:
    for cuts in CUTS:
        yield chosen(data, *choices, *cuts)


def request(first: str, headers: list[str]) -> bytes:
    return "\r\n".join([first, *headers, "", ""]).encode("latin-1")


def requests() -> Iterator[bytes]:
    get = "GET /ws?id=1 HTTP/1.1"
    for headers in UPGRADE, BROWSER:
        yield request(get, headers)
        for i, header in enumerate(headers):
            yield request(get, headers[:i] + headers[i + 1 :])
            yield request(get, [header, *headers])
    for first in (
        "GET http://example.com:1/a?b HTTP/1.1",
        "GET HTTPS://[::1]?b HTTP/1.1",
        "GET / HTTP/1.0",
        "HEAD / HTTP/1.1",
        "POST / HTTP/1.1",
        "GET / HTTP/2.0",
        "GET  / HTTP/1.1",
        "GET /#a HTTP/1.1",
        "GET http://a@b/ HTTP/1.1",
        "",
    ):
        yield request(first, UPGRADE)
        yield request(first, ["Host: a"])
    for fault in (
        "Content-Length: 5",
        "Content-Length: 0",
        "Content-Length: 0\r\nContent-Length: 0",
        "Transfer-Encoding: chunked",
        " folded: x",
        "blank : x",
        "no colon",
        "bare\rreturn: x",
        "nul: \0",
        "high: \xe4",
        "many: x\r\n" * 70 + "a: b",
        "Sec-WebSocket-Protocol: ,, chat ,\tv1.json",
        "Sec-WebSocket-Protocol: not a token",
    ):
        yield request(get, [*UPGRADE, fault])
    for size in 8191, 8192, 8193:  # of the head; one byte too many
        room = size - len(request(get, [*UPGRADE, "long: "]))
        yield request(get, [*UPGRADE, "long: " + "x" * room])
    yield request("GET /" + "a" * 8200 + " HTTP/1.1", UPGRADE)
    yield request(get, UPGRADE).replace(b"\r\n", b"\n")
    yield request(get, BROWSER)[:-3]


def http_request() -> Iterator[bytes]:
    for data in requests():
        yield chosen(data, 0)
    for headers in UPGRADE, BROWSER:
        yield from cut(request("GET /ws?id=1 HTTP/1.1", headers))


def frame(first: int, payload: bytes, key: bytes = b"\x12\x34\x56\x78") -> bytes:
    size = len(payload)
    if size < 126:
        head = bytes([first, 0x80 | size])
    elif size < 65536:
        head = bytes([first, 0xFE]) + struct.pack("!H", size)
    else:
        head = bytes([first, 0xFF]) + struct.pack("!Q", size)
    return head + key + bytes(b ^ key[i % 4] for i, b in enumerate(payload))


def frame_sequences() -> Iterator[bytes]:
    for text in TEXTS:
        yield frame(0x81, text)
        yield frame(0x01, text[:2]) + frame(0x89, b"x") + frame(0x80, text[2:])
        yield frame(0x88, b"\x03\xe8" + text)
    for size in (0, 1, 125, 126, 300):
        yield frame(0x82, bytes(size)) + frame(0x8A, b"")
        yield frame(0x02, bytes(size)) + frame(0, b"") + frame(0x80, b"end")
    yield frame(0x02, b"abc") + frame(0, b"de") + frame(0x80, b"f")
    yield frame(0xC1, b"\xff") + frame(0x42, b"\0") + frame(0x80, b"")
    yield frame(0x42, b"a") + frame(0xC0, b"b") + frame(0xE0, b"")
    yield frame(0x89, b"p" * 125) * 3
    for code in (0, 999, 1000, 1004, 1005, 1014, 1015, 2999, 3000, 4999, 5000):
        yield frame(0x88, struct.pack("!H", code) + b"bye") + frame(0x81, b"late")
    yield from (frame(0x88, b""), frame(0x88, b"\x03"))
    for first in (0x83, 0x8B, 0xA1, 0x91, 0x09, 0xC9, 0x80, 0xC0):
        yield frame(first, b"x")
    yield frame(0x01, b"x") + frame(0x81, b"x")
    yield b"\x81\x05hello"
    for long in (b"\x82\xfe\0\x7d", b"\x82\xff" + bytes(7) + b"\x7d", b"\x89\xfe"):
        yield long + bytes(8)
    for most in (b"\x7f" + b"\xff" * 7, b"\xff" * 8, b"\0" * 4 + b"\xff" * 4):
        yield b"\x82\xff" + most + bytes(4)


def frame_decode() -> Iterator[bytes]:
    for data in frame_sequences():
        yield from cut(data, 0)  # limits: none
        yield chosen(data, 1, 0)  # compression
        yield chosen(data, 2, 1, 3, 1, 2, 3, 0xA5, 0x5A, 0xF0, 0x33)  # fragments
        yield chosen(data, 4, 5, 2, 1, 4, 0xFF, 0xFF, 0xFF, 0xFF)  # bytes


def conn() -> Iterator[bytes]:
    raw, patient, leaves, sends = 1, 2, 4, 3 << 3
    for data in frame_sequences():
        for manner in (0, patient, patient | sends, leaves):
            yield chosen(data, manner, 0)
        yield from cut(data, patient | sends)
    for data in requests():
        yield chosen(data, raw, 0)
        yield chosen(data + frame(0x81, b"hello"), raw, 3, 50, 50, 50)
    for data in (b"", frame(0x89, b"p") * 5):
        yield chosen(request("GET / HTTP/1.1", UPGRADE) + data, raw, 0)


def utf8() -> Iterator[bytes]:
    for text in TEXTS:
        yield from cut(text)
        yield chosen(text * 3, 0)


def query() -> Iterator[bytes]:
    for text in (
        "id=1&user=a+b",
        "x=%zz&id=%E4%BD%A0%c3%a9",
        "id",
        "id=1&%69d=2",
        "a%20b=c&a+b",
        "%C3%A9=x",
        "id=%",
        "id=%4",
        "id=%00",
        "id=%C2%85",
        "id=%FF",
        "id=" + "a" * 24,
        "id=" + "a" * 25,
        "id=" + "a" * 24 + "%",
        "&&=&id==",
    ):
        for name in range(4):
            yield chosen(text.encode(), name)


def origin() -> Iterator[bytes]:
    for text in (
        "https://example.com",
        "HTTPS://EXAMPLE.com:443|example.com",
        "http://example.com:8080|example.com:8080",
        "https://a.b.example.com|x",
        "https://.example.com",
        "https://a..example.com",
        "https://x.a.example.org:444",
        "wss://[::1]:9|[::1]:9",
        "app://local",
        "null",
        "same-host|same-host",
        "https://*.example.com",
        "http://a:65536|a:80",
        "http://a:|a:",
        "http://a:080|a",
        "https://user@example.com",
        "https://example.com/",
        "https://[::g]",
        "|",
    ):
        yield text.encode()


def network() -> Iterator[bytes]:
    for addr in (
        "1.2.3.4",
        "1.2.3.4:80",
        "::1",
        "[::1]",
        "[fd00::1]:80",
        "fe80::1%eth0",
        "::ffff:1.2.3.4",
        "unix:",
        "unix:/a/b",
        "01.2.3.4",
        "1.2.3",
        "[1.2.3.4]",
        "[::1",
        "[::1]x",
        "unknown",
        "_hidden",
        "",
    ):
        for net in ("1.2.0.0/16", "::/0", "fd00::/8", "::ffff:0:0/96", "unix:"):
            yield f"{addr} {net}".encode()
    for net in ("1.2.3.4/33", "::1/129", "1.2.3.4/", "1.2.3.4/-1", "1.2.3.4/032"):
        yield f"1.2.3.4 {net}".encode()


TARGETS: dict[str, Callable[[], Iterator[bytes]]] = {
    made.__name__: made
    for made in (conn, frame_decode, http_request, network, origin, query, utf8)
}


def main(folder: Path) -> None:
    """Write each target's seeds into a folder of its name."""
    for name, made in TARGETS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for seed in made():
            (folder / name / hashlib.sha1(seed).hexdigest()).write_bytes(seed)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
