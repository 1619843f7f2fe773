"""A page that shows a hub at work, and the small server behind it."""

from .page import build_page
from .server import Demo

__all__ = ["Demo", "build_page"]
