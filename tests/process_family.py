"""The processes that descend from one, by what /proc says: to see that none is left, or to kill one of them."""

from __future__ import annotations

import threading
import time
from pathlib import Path


class Family(threading.Thread):
    """Remembers every process that descends from one, until it ends."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.started: dict[int, str] = {}
        """Start time by process id: an id alone may be given again."""
        self.names: set[str] = set()
        self._known = {root}
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.2):
            self.look()

    def look(self) -> None:
        for folder in Path("/proc").glob("[0-9]*"):
            stat = read_stat(int(folder.name))
            if stat is not None and int(stat[2]) in self._known and int(folder.name) not in self._known:
                self._known.add(int(folder.name))
                self.started[int(folder.name)] = stat[20]
            if int(folder.name) in self.started:
                self.names.add(command_of(int(folder.name)))

    def named(self, word: str) -> list[int]:
        """Ids of those alive now with this word in their command."""
        return [pid for pid in self.alive() if word in command_of(pid)]

    def alive(self) -> list[int]:
        found = {pid: read_stat(pid) for pid in self.started}
        return [pid for pid, stat in found.items() if stat and stat[20] == self.started[pid] and stat[1] != "Z"]

    def all_gone(self, timeout_s: float = 20.0) -> bool:
        self._over.set()
        deadline = time.monotonic() + timeout_s
        while self.alive() and time.monotonic() < deadline:
            time.sleep(0.1)
        return not self.alive()


def read_stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the second on: [1] the state, [2] the parent, [20] the start time."""
    try:
        return ["", *Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()]
    except OSError:
        return None


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""
