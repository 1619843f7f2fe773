"""What holds for every test."""

from __future__ import annotations

import signal

# Started in the background by a shell, the tests and all their children would
# ignore Ctrl-C, and some are about just that.
signal.signal(signal.SIGINT, signal.default_int_handler)
