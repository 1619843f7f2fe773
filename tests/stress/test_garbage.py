"""Random and broken bytes, before and after the upgrade; each input is seeded."""

from __future__ import annotations

import os
import random
import socket

from stress.attack import Address, Outcome, dial, frame, gather, request
from stress.siege import MB, SANITIZED, scaled, siege

SEED = int(os.environ.get("WSSEND_SEED", "0")) or random.SystemRandom().getrandbits(32)
AT_ONCE = 100


def noise(rng: random.Random, most: int) -> bytes:
    """Bytes without any meaning."""
    return rng.randbytes(rng.randrange(1, most))


def damage(rng: random.Random, data: bytes) -> bytes:
    """The same with a few bytes changed, left out, doubled or cut off."""
    out = bytearray(data)
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(out)) if out else 0
        match rng.randrange(5):
            case 0:
                out[at : at + 1] = rng.randbytes(1)
            case 1:
                del out[at : at + rng.randrange(1, 8)]
            case 2:
                out[at:at] = out[at : at + rng.randrange(1, 40)]
            case 3:
                out[at:at] = rng.choice([b"\r\n", b"\0", b":", b" ", b"\xff", b"\x80"])
            case 4 if rng.random() < 0.2:
                del out[at:]
    return bytes(out)


def frames(rng: random.Random) -> bytes:
    """Some frames, mostly sound."""
    kinds = [0x81, 0x82, 0x01, 0x02, 0x80, 0x00, 0x88, 0x89, 0x8A]
    out = b""
    for _ in range(rng.randrange(1, 6)):
        body = rng.choice([b"", b"x" * rng.randrange(300), noise(rng, 100)])
        out += frame(rng.choice(kinds), body)
    return out


def make(seed: int, number: int) -> bytes:
    """Input number so and so."""
    rng = random.Random(f"{seed}:{number}")
    match number % 5:
        case 0:
            return noise(rng, 600)
        case 1:
            return damage(rng, request("/?id=a%20b&c=d", "Origin: http://x\r\n"))
        case 2:
            return request() + noise(rng, 300)
        case 3:
            return request() + damage(rng, frames(rng))
        case _:
            return request() + frames(rng)


def send_batch(address: Address, seed: int, numbers: range) -> list[Outcome]:
    """One connection for each input, all at once, each to its end."""
    sockets = []
    for number in numbers:
        sock = dial(address, number % 20_000)
        sock.sendall(make(seed, number))
        sock.shutdown(socket.SHUT_WR)
        sockets.append(sock)
    return gather(sockets)


def test_random_bytes_end_their_own_connection_and_nothing_else() -> None:
    # A large message is no news here, and Python decodes the text of each.
    with siege(
        "random bytes", max_message_size=1000, close_timeout=2, open_timeout=5
    ) as held:
        count = held.row.attackers = scaled(100_000, 3_000)
        held.row.notes["seed"] = SEED
        ends = {"101 and the end": 0, "refused": 0, "cut": 0}
        warm = 0
        for start in range(0, count, AT_ONCE):
            numbers = range(start, min(start + AT_ONCE, count))
            try:
                outcomes = send_batch(held.address, SEED, numbers)
            except BaseException:
                print(f"WSSEND_SEED={SEED}, inputs {numbers}")
                raise
            for outcome in outcomes:
                if outcome.status == 101:
                    ends["101 and the end"] += 1
                elif outcome.status >= 400:
                    ends["refused"] += 1
                else:
                    assert not outcome.data.startswith(b"HTTP/1.1 101"), SEED
                    ends["cut"] += 1
            if start >= count // 10 and not warm:
                warm = held.figures().rss
        stats = held.wait_for(lambda now: now["clients"] == 1 and now["closing"] == 0)
        assert stats["accepted_connections"] == count + 1
        held.height()
        held.row.notes["ends"] = ends
        held.bound(held.figures(), count, each=0, beside=4 * MB)
        grown = held.figures().rss - warm
        held.row.notes["grown after the first tenth"] = grown
        # At full size the smallest leak, 16 bytes each, would be more.
        if not SANITIZED:
            assert grown < MB, grown
        held.row.outcome = ", ".join(f"{n} {what}" for what, n in ends.items())
