"""Readers that do wrong, to see that it is noticed. Nothing here needs trodden, so that their workers start at once."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from _fuzz_mutations import Files, Random

INPUTS: list[Files] = [{"in.txt": b"sound"}]


def _damage(files: Files, random: Random) -> tuple[Files, str]:
    return {name: content + b"!" for name, content in files.items()}, "a mark at the end"


def _raises(folder: Path, files: Files, city: Any) -> str | None:
    raise KeyError("on purpose")


def _hangs(folder: Path, files: Files, city: Any) -> str | None:
    time.sleep(3600)
    return None


def _dies(folder: Path, files: Files, city: Any) -> str | None:
    os._exit(11)


def _lies(folder: Path, files: Files, city: Any) -> str | None:
    return "read although it is damaged"


FAULTY = {
    run.__name__: SimpleNamespace(inputs="faulty", share=1, damage=_damage, run=run)
    for run in (_raises, _lies, _dies, _hangs)
}
"""By ``--only`` alone."""
