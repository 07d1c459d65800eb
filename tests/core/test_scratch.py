"""Arrays in files: like any other, gone with themselves, and refused where there is no room."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest
from trodden.core.errors import StoredFolderError
from trodden.core.scratch import in_files


def test_an_array_in_a_file_is_an_array_and_leaves_nothing_behind(tmp_path: Path) -> None:
    empty = in_files(tmp_path)
    one, two, none = empty(5), empty(5), empty(0)
    one[:], two[:] = np.arange(5.0), 7.0
    assert (one.tolist(), two.tolist(), none.shape) == ([0.0, 1.0, 2.0, 3.0, 4.0], [7.0] * 5, (0,))
    assert type(one) is np.ndarray
    assert isinstance(one.base, np.memmap)
    assert list(tmp_path.iterdir()) == []


def test_no_room_is_a_typed_error_not_a_signal(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(StoredFolderError, match=r"no room for an array of 0\.008 GB"):
            in_files(tmp_path)(1_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
