"""Writes the inputs that the fuzz targets begin with: seeds.py FOLDER.

A target finds its way from good inputs and from ones with a single fault sooner
than from nothing. A function of a target's name yields its seeds; what a target
takes from the end of its input (fuzz.h) is appended by `chosen`.
"""

from __future__ import annotations

import hashlib
import struct
import sys
import zlib
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
        yield chosen(data, 0x25, 2, 5, 0)  # bytes, compressed and not


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
    compressed, narrow, large = 32, 64, 128
    for data in packed_frames():
        yield chosen(data, compressed, 0)
        yield chosen(data, compressed | patient | large | sends, 0)
        yield from cut(data, compressed | narrow | patient | large | sends)
        yield chosen(data, compressed | leaves | patient, 3, 5, 5, 5)
        yield chosen(data, patient | large | sends, 0)
        yield chosen(request("GET / HTTP/1.1", BROWSER) + data, raw, 0)
    for text in OFFERS:
        offer = f"Sec-WebSocket-Extensions: {text}".split("\n")[0]
        for data in (b"", frame(0xC1, HELLO)):
            yield chosen(request("GET / HTTP/1.1", [*UPGRADE, offer]) + data, raw, 0)


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


OFFERS = [
    "permessage-deflate",
    "permessage-deflate; client_max_window_bits",
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover;"
    " server_max_window_bits=10; client_max_window_bits=12",
    "permessage-deflate; server_max_window_bits=10, permessage-deflate",
    *(f"permessage-deflate; server_max_window_bits={n}" for n in range(7, 17)),
    *(f"permessage-deflate;client_max_window_bits={n}" for n in (7, 8, 15, 16, "09")),
    'permessage-deflate; server_max_window_bits="10"',
    'permessage-deflate; server_max_window_bits="\\1\\0"',
    'a; b="c,d", permessage-deflate',
    'permessage-deflate; x="10',
    'permessage-deflate; x="10\\',
    'permessage-deflate; x=""',
    "permessage-deflate; server_max_window_bits",
    "permessage-deflate; server_no_context_takeover=1",
    "permessage-deflate; client_no_context_takeover=1",
    "permessage-deflate; x, permessage-deflate; server_max_window_bits=9",
    "foo, bar; baz=2\npermessage-deflate",
    "permessage-deflate\n@",
    ",, \tpermessage-deflate ,, ,",
    "permessage-deflate;",
    "permessage-deflate=1",
    "",
]


def deflate_offer() -> Iterator[bytes]:
    for text in OFFERS:
        yield chosen(text.encode(), 0, 0)
        yield chosen(f"{text}\n{text}".encode(), 0, 7)
        yield chosen("; ".join([text, *text.split("; ")[1:]]).encode(), 0, 0)


def packed(
    data: bytes, level: int = 6, bits: int = 15, flush: int = zlib.Z_SYNC_FLUSH
) -> bytes:
    """As the payload of a compressed message."""
    maker = zlib.compressobj(level, zlib.DEFLATED, -bits)
    made = maker.compress(data) + maker.flush(flush)
    return made + b"\0" if flush == zlib.Z_FINISH else made[:-4]


HELLO = b"\xf2\x48\xcd\xc9\xc9\x07\x00"
FINAL = b"\xf3\x48\xcd\xc9\xc9\x07\x00"
JSON = b"".join(b'{"id": %d, "price": %d.5, "a": []}, ' % (i, i * i) for i in range(60))
PACKED = [
    HELLO,  # the examples of RFC 7692 7.2.3
    b"\xf2\x48\xcd\xc9\xc9\x07\x00" + b"\xf2\x00\x11\x00\x00",
    b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
    FINAL + b"\0",
    b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
    b"\0",
    b"",  # and their like
    FINAL,
    FINAL + HELLO,
    FINAL + FINAL + b"\0",
    FINAL + b"\x07",
    FINAL + b"\x02\x22\x00",
    b"\x03\x00" * 20,
    b"\x02\x00",
    b"\x00\x00\x00\xff\xff" * 10 + b"\x00",
    b"\x00\x05\x00\xfa\xffH",
    b"\x00\x04\x00\xfb\xff",  # the tail would be its bytes
    b"\x01\x04\x00\xfb\xff",
    b"\x01\x02\x00\xfd\xff",
    # A block that ends two bits before the tail does.
    bytes.fromhex("04c0019224499224492416358fac9ebdff7ff700"),
    b"\x07",
    b"\x78\x9c" + HELLO,
    b"\x04" * 40,
    packed(bytes(70000), 9),
    packed("Grüße, 世界 😀".encode() * 5),
    *(packed(JSON, level) for level in (0, 1, 3, 9)),
    packed(JSON, 9, 9),
    *(packed(JSON[:90] + bytes(n) + JSON[:90], 9) for n in (8200, 16300, 32400)),
    packed(JSON, 6, 15, zlib.Z_FULL_FLUSH),
    packed(JSON, 6, 15, zlib.Z_FINISH),
    packed(JSON[:400])[:-1],
    packed(JSON[:400])[:100],
]


def inflate() -> Iterator[bytes]:
    for data in PACKED:
        for cuts in CUTS:
            for rooms in CUTS:
                yield chosen(data, *cuts, *rooms, 0, 0)
        for fails in range(1, 5):
            yield chosen(data, 0, 0, 7, fails)
        yield chosen(data, 2, 1, 40, 3, 1, 9, 1, len(data) // 2 & 255, 0)


def deflate() -> Iterator[bytes]:
    for data in (b"", b"a", b"Hello", JSON, bytes(500), bytes(range(256)) * 2):
        for bits in range(7):
            how = (bits, 0, 3 + bits, 10 * bits)
            yield chosen(data, 0, 0, 0, *how, 0)
            yield chosen(data, 9, 0, 0, *how, 2, 9, 9)
            yield chosen(data, 30, 0, 200, *how, 3, 1, 2, 3, 2, 1, 0x80)
            yield chosen(data, 3, 2 << bits, 0, *how, 0)  # as far as the window


def packed_frames() -> Iterator[bytes]:
    for data in PACKED:
        if len(data) < 1000:
            yield frame(0xC1, data) + frame(0x89, b"p")
            yield frame(0xC2, data) + frame(0x81, b"plain") + frame(0xC2, data)
            yield (
                frame(0x41, data[:3])
                + frame(0x89, b"p")
                + frame(0x00, b"")
                + frame(0x80, data[3:])
                + frame(0x88, b"\x03\xe8")
            )
    for text in TEXTS:
        yield frame(0xC1, packed(text)) + frame(0x8A, b"")
        yield frame(0xC1, packed(text, 0))
    for size in (3999, 4000, 4001, 20000):  # around the limit
        yield frame(0xC2, packed(bytes(size))) + frame(0x89, b"p")
        yield frame(0xC1, packed(b"a" * (size - 1) + b"\xff"))
        yield frame(0x41, packed(b"\xff" + b"a" * size)[:4]) + frame(
            0x80, packed(b"\xff" + b"a" * size)[4:]
        )
    yield frame(0xC2, packed(bytes(4000))) * 70  # more than a turn's


TARGETS: dict[str, Callable[[], Iterator[bytes]]] = {
    made.__name__: made
    for made in (
        conn,
        deflate,
        deflate_offer,
        frame_decode,
        http_request,
        inflate,
        network,
        origin,
        query,
        utf8,
    )
}


def main(folder: Path) -> None:
    """Write each target's seeds into a folder of its name."""
    for name, made in TARGETS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for seed in made():
            (folder / name / hashlib.sha1(seed).hexdigest()).write_bytes(seed)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
