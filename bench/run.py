"""wssend beside other servers and beside the floor, in one run.

    make bench [PEERS="go node"] [ARGS="--quick --write FILE --plot FILE"]

The floor is a C program that does one send() of a ready frame for each message; what
a message costs is shown as a multiple of it, from the same repetition. A server runs
on one core and the load on another. bench/README.md tells how, and how to add a
server. Results are kept in build/bench/results.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

from peers import ALL
from suite.jobs import FULL, QUICK, SESSIONS
from suite.plot import plot
from suite.prepare import OUT, choose, programs
from suite.process import find_cores
from suite.report import text, write
from suite.runner import Record, run

RESULTS = OUT / "results.json"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ", ".join(sorted({name for p in ALL for name in (p.name, p.group)}))
    parser.add_argument("peers", nargs="*", help=f"names or groups: {names}")
    parser.add_argument("--quick", action="store_true", help="once, and less of all")
    parser.add_argument("--repetitions", type=int, help="how often, instead")
    parser.add_argument(
        "--sessions", nargs="+", choices=SESSIONS, default=tuple(SESSIONS)
    )
    parser.add_argument("--last", action="store_true", help="show what was measured")
    parser.add_argument(
        "--write",
        type=Path,
        help="a file for Markdown: between <!-- suite --> and <!-- end of suite -->, "
        "or all of it",
    )
    parser.add_argument("--plot", type=Path, help="a file for a plot: .svg or .png")
    return parser.parse_args()


def measure(options: argparse.Namespace) -> Record:
    scale = QUICK if options.quick else FULL
    if options.repetitions is not None:
        scale = replace(scale, repetitions=options.repetitions)
    try:
        peers = choose(options.peers)
    except ValueError as error:
        sys.exit(str(error))
    if not (programs() / "bench_load").exists():
        sys.exit(f"{programs() / 'bench_load'} is not built: make build")
    record = run(peers, find_cores(), scale, options.sessions)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(asdict(record), indent=1) + "\n")
    return record


def main() -> None:
    options = arguments()
    if options.last:
        record = Record(**json.loads(RESULTS.read_text()))
    else:
        record = measure(options)
    print(text(record))
    if options.write:
        write(record, options.write)
    if options.plot:
        try:
            plot(record, options.plot)
        except ImportError as error:
            print(f"no plot: {error} (bench/requirements.txt)", file=sys.stderr)
    sys.exit(1 if record.failed else 0)


if __name__ == "__main__":
    main()
