"""One run at a time in a folder: a lock that goes with its process, however that ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import FolderInUseError


@contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Hold ``.NAME.lock`` beside what is to be written at ``path``.

    The lock is the kernel's (flock): it is gone when the process is, killed or not, so that none has to be removed by
    hand. On file systems of several machines it holds as far as they support it; where there is no flock (Windows)
    nothing is held.

    Raises
    ------
    FolderInUseError
        Another process holds it; says which.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    file = target.with_name(f".{target.name}.lock")
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 100).decode(errors="replace").strip()
            os.close(descriptor)
            raise FolderInUseError(path=target, holder=holder or "another process") from None
        if _is_still(file, descriptor):
            break
        os.close(descriptor)  # its holder removed it between the two calls: what stands there now is another file
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {os.uname().nodename}\n".encode())
        yield
    finally:
        file.unlink(missing_ok=True)
        os.close(descriptor)


def _is_still(file: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False
