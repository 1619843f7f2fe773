"""What the applications run under, and the browser that looks at them.

A tool that is missing skips the test; under CI it fails it.
"""

from e2e.conftest import browser, chromium

__all__ = ["browser", "chromium"]
