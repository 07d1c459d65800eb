"""Verified folders: how networks, models and checkpoints lie on disk.

A folder holds ``.npy`` arrays (never pickled), a JSON document and a manifest with the SHA-256 of every file. It is
written into a temporary folder beside its target, synced, and renamed; the manifest is written last. So a folder is
either whole or not there, and a flipped bit, a cut file or a file of another version is named instead of loaded.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
import tokenize
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import StoredFolderError

MANIFEST = "manifest.json"
_DOCUMENT = "document.json"
_BLOCK = 1 << 20


@dataclass(frozen=True, eq=False)
class StoredFolder:
    """A verified folder, opened: ``arrays`` by name, ``document`` as written, paths of inner ``folders``."""

    path: Path
    document: dict[str, Any]
    arrays: dict[str, NDArray[Any]]
    folders: dict[str, Path]


def write_folder(
    path: str | Path,
    *,
    kind: str,
    version: int,
    document: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    files: Mapping[str, bytes] | None = None,
    folders: Mapping[str, Path] | None = None,
) -> Path:
    """Write a folder atomically, replacing an earlier one of the same kind.

    Parameters
    ----------
    kind, version
        What the folder is; `read_folder` refuses any other.
    document
        JSON-serialisable.
    arrays
        Written as ``NAME.npy``; object arrays are refused.
    files
        Further files for people to read, by name (a TOML, say); verified like the rest.
    folders
        Verified folders to take along inside this one; their files are hard-linked where the file system allows it.

    Raises
    ------
    StoredFolderError
        The target exists and is not such a folder (it is left untouched), or the disk refused the write.
    """
    target = Path(path)
    _refuse_foreign_target(target, kind)
    scratch: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
        for name, inner in (folders or {}).items():
            _link_folder(inner, scratch / name)
        for name, array in arrays.items():
            _write_array(scratch / f"{name}.npy", array)
        for name, content in {**(files or {}), _DOCUMENT: _to_json(document)}.items():
            _write_bytes(scratch / name, content)
        listed = sorted(p for p in scratch.iterdir() if p.is_file())
        manifest = {
            "kind": kind,
            "version": version,
            "files": {p.name: {"sha256": _sha256(p), "bytes": p.stat().st_size} for p in listed},
            "folders": {name: _sha256(scratch / name / MANIFEST) for name in (folders or {})},
        }
        _write_bytes(scratch / MANIFEST, _to_json(manifest))
        _sync_directory(scratch)
        os.chmod(scratch, 0o755)
        _swap_in(scratch, target)
    except OSError as error:
        _discard(scratch)
        raise StoredFolderError(
            path=target,
            problem=f"could not be written ({error})",
            remedy="What stood there before is untouched; free space or choose another place",
        ) from error
    except BaseException:
        _discard(scratch)
        raise
    return target


def read_folder(
    path: str | Path,
    *,
    kind: str,
    version: int,
    memory_mapped: Callable[[str], bool] = lambda name: False,
    verify: bool = True,
) -> StoredFolder:
    """Open a folder written by `write_folder`, checking every file against the manifest first.

    Parameters
    ----------
    memory_mapped
        Whether to map an array of that name read-only instead of reading it.
    verify
        Check the SHA-256 of every file (about a second per GB); sizes are checked in any case.

    Raises
    ------
    StoredFolderError
        Missing, of another kind or a newer version, or a file that is missing, cut short or altered.
    """
    folder = _existing(Path(path))
    manifest = read_manifest(folder)
    if manifest.get("kind") != kind:
        raise StoredFolderError(
            path=folder,
            problem=f"is a {manifest.get('kind')!r} folder, not a {kind!r} folder",
            remedy=f"Give the path of a {kind}",
        )
    if manifest.get("version") != version:
        raise StoredFolderError(
            path=folder,
            problem=f"has format version {manifest.get('version')}, this trodden reads version {version}",
            remedy="Use the trodden that wrote it, or write it again",
        )
    for name, entry in manifest["files"].items():
        _check_file(folder, name, entry, verify)
    inner = {name: folder / _safe_name(folder, name) for name in manifest["folders"]}
    for name, digest in manifest["folders"].items():
        found = inner[name] / MANIFEST
        if not found.is_file() or _sha256(found) != digest:
            raise StoredFolderError(
                path=inner[name], problem="is missing or is not the folder that belongs here", remedy=_RESTORE
            )
    arrays = {
        name[:-4]: _read_array(folder / name, mapped=memory_mapped(name[:-4]))
        for name in manifest["files"]
        if name.endswith(".npy")
    }
    return StoredFolder(folder, _read_document(folder, manifest), arrays, inner)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder: ``{"kind", "version", "files", "folders"}``."""
    try:
        content = (folder / MANIFEST).read_bytes()
        manifest = json.loads(content)
        if not (isinstance(manifest["files"], dict) and isinstance(manifest["folders"], dict)):
            raise TypeError("files and folders must be objects")
        if not all(
            isinstance(entry, dict) and {"sha256", "bytes"} <= entry.keys() for entry in manifest["files"].values()
        ):
            raise TypeError("every file needs sha256 and bytes")
        if content != _to_json(manifest):  # a byte too few, a name given twice: what no value shows
            raise ValueError("it is not written as trodden writes it")
    except (FileNotFoundError, NotADirectoryError):
        raise StoredFolderError(
            path=folder,
            problem=f"has no {MANIFEST}, so it is not a folder that trodden finished writing",
            remedy="Check the path",
        ) from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoredFolderError(path=folder / MANIFEST, problem=f"is damaged ({error})", remedy=_RESTORE) from error
    return dict(manifest)


def is_stored(path: str | Path) -> bool:
    """Whether anything stands at ``path``, or beside it where a write was killed between its two renames."""
    return _existing(Path(path)).exists()


def folder_kind(path: str | Path) -> str | None:
    """The kind of the verified folder at ``path``, or None where there is none."""
    try:
        return str(read_manifest(_existing(Path(path))).get("kind"))
    except StoredFolderError:
        return None


_RESTORE = "Restore it from a copy, or make it again"


def _to_json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _discard(scratch: Path | None) -> None:
    if scratch is not None:
        shutil.rmtree(scratch, ignore_errors=True)


def _previous(target: Path) -> Path:
    return target.with_name(f".{target.name}.previous")


def _existing(path: Path) -> Path:
    """The folder, or the one it was about to replace when a write was killed between its two renames."""
    if not path.exists() and _previous(path).is_dir():
        return _previous(path)
    return path


def _refuse_foreign_target(target: Path, kind: str) -> None:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    found = folder_kind(target)
    if found != kind:
        what = f"a {found} folder" if found else "something that trodden did not write"
        raise StoredFolderError(
            path=target,
            problem=f"is {what} and will not be replaced by a {kind}",
            remedy="Choose another path or move it away",
        )


def _swap_in(scratch: Path, target: Path) -> None:
    """Two renames; between them the earlier folder stands beside the target, where `_existing` finds it."""
    previous = _previous(target)
    if target.exists():
        shutil.rmtree(previous, ignore_errors=True)
        os.rename(target, previous)
    os.rename(scratch, target)
    _sync_directory(target.parent)
    shutil.rmtree(previous, ignore_errors=True)


def _link_folder(source: Path, target: Path) -> None:
    # Written folders are never changed in place, so sharing their files by hard links is safe.
    def link_or_copy(one: str, two: str) -> str:
        try:
            os.link(one, two)
        except OSError:
            shutil.copy2(one, two)
        return two

    shutil.copytree(source, target, copy_function=link_or_copy)


def _write_array(path: Path, array: NDArray[Any]) -> None:
    with open(path, "wb") as file:
        np.save(file, np.ascontiguousarray(array), allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())


def _write_bytes(path: Path, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _safe_name(folder: Path, name: str) -> str:
    if not name or name in {".", ".."} or Path(name).name != name:
        raise StoredFolderError(
            path=folder / MANIFEST,
            problem=f"names a file outside its folder ({name!r})",
            remedy="Do not use this folder",
        )
    return name


def _check_file(folder: Path, name: str, entry: Mapping[str, Any], verify: bool) -> None:
    path = folder / _safe_name(folder, name)
    if not path.is_file():
        raise StoredFolderError(path=path, problem="is missing", remedy=_RESTORE)
    if path.stat().st_size != entry["bytes"]:
        raise StoredFolderError(
            path=path,
            problem=f"has {path.stat().st_size} bytes, the manifest says {entry['bytes']}: it was cut short or changed",
            remedy=_RESTORE,
        )
    if verify and _sha256(path) != entry["sha256"]:
        raise StoredFolderError(
            path=path, problem="does not match its checksum: at least one bit has changed", remedy=_RESTORE
        )


def _read_document(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    try:
        if _DOCUMENT not in manifest["files"]:
            raise ValueError("the manifest does not list it")
        return dict(json.loads((folder / _DOCUMENT).read_bytes()))
    except (ValueError, TypeError, RecursionError) as error:
        raise StoredFolderError(
            path=folder / _DOCUMENT, problem=f"is not a document that trodden wrote ({error})", remedy=_RESTORE
        ) from error


def _read_array(path: Path, *, mapped: bool) -> NDArray[Any]:
    # Not np.load, which also takes other kinds of file and hands back something else than an array.
    try:
        _require_plain(path)
        if mapped:
            array: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
        else:
            with open(path, "rb") as file:
                array = np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, MemoryError) as error:
        raise StoredFolderError(
            path=path, problem=f"is not a plain array ({error})", remedy="Do not use this folder"
        ) from error
    array.flags.writeable = False
    return array


def _require_plain(path: Path) -> None:
    """`ValueError` where a header is none, or where an array would be longer or shorter than its file."""
    with open(path, "rb") as file:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"its format has version {version}")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        try:
            shape, _, kind = read(file)
        except (TypeError, SyntaxError, KeyError, RecursionError, MemoryError, tokenize.TokenError) as error:
            raise ValueError(f"its header cannot be read: {error}") from None
        if kind.hasobject:
            raise ValueError("it holds Python objects")
        if min(shape, default=1) < 0 or math.prod(shape) * kind.itemsize != path.stat().st_size - file.tell():
            raise ValueError(f"its header says {shape} of {kind}, which is not what the file holds")
