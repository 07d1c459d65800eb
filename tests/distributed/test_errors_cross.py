"""Every typed error survives the way through Ray, with its message and its attributes."""

from __future__ import annotations

import copy
import inspect

import pytest
import ray.cloudpickle
from trodden.core import errors
from trodden.core.errors import TroddenError

ERRORS = [
    one
    for one in vars(errors).values()
    if inspect.isclass(one) and issubclass(one, TroddenError) and one is not TroddenError
]
# By annotation; a parameter of another kind needs a value here.
VALUES = {
    "str": "word",
    "int": 7,
    "float": 0.25,
    "bool": True,
    "list": [3, 1, 2],
    "Mapping": {"unknown_edge": 2},
    "Path": "a/b",
}


def make(kind: type[TroddenError], *, with_optional: bool) -> TroddenError:
    """An error with a value for every keyword, or only for those that have no default."""
    arguments = {}
    for name, parameter in inspect.signature(kind).parameters.items():
        assert parameter.kind is parameter.KEYWORD_ONLY
        if with_optional or parameter.default is parameter.empty:
            annotation = str(parameter.annotation)
            arguments[name] = next(VALUES[word] for word in VALUES if annotation.startswith(word))
    return kind(**arguments)


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("with_optional", [False, True])
def test_it_survives(kind, with_optional):
    error = make(kind, with_optional=with_optional)
    for twin in (copy.copy(error), ray.cloudpickle.loads(ray.cloudpickle.dumps(error))):
        assert type(twin) is kind
        assert str(twin) == str(error)
        assert vars(twin) == vars(error)


@pytest.mark.parametrize("kind", ERRORS)
def test_it_keeps_its_notes(kind):
    error = make(kind, with_optional=True)
    error.add_note("in region 3")
    twin = ray.cloudpickle.loads(ray.cloudpickle.dumps(error))
    assert twin.__notes__ == ["in region 3"]
    assert str(twin) == str(error)


def test_there_are_many():
    assert len(ERRORS) > 15
    assert all(issubclass(kind, Exception) and kind.__doc__ for kind in ERRORS)


def test_what_was_saved_is_told_where_a_signal_came_through_compiled_code():
    """Ray raises a SystemError there; the notes on it, which say what was saved, go with its cause."""
    from trodden.distributed.cluster import _signals_kept

    error = SystemError("returned a result with an exception set")
    error.__cause__ = KeyboardInterrupt()
    error.add_note("12 evaluations are saved")
    with pytest.raises(KeyboardInterrupt) as caught, _signals_kept():
        raise error
    assert caught.value.__notes__ == ["12 evaluations are saved"]
