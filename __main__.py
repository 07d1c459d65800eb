"""``python -m trodden`` is the command ``trodden``."""

from .cli.main import run

run()
