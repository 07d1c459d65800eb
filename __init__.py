"""trodden learns from observed routes what travellers prefer, and serves the best routes under what it learned."""

from ._version import __version__

__all__ = ["__version__"]
