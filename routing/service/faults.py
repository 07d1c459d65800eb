"""Typed errors as OSRM words them: a code, a status, and a message that names the coordinate by its index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ...core import errors
from ..points import Coordinate

_CODES: tuple[tuple[type[errors.TroddenError], str], ...] = (
    (errors.UnreachableError, "NoRoute"),
    (errors.OffMapError, "NoSegment"),
    (errors.MissingDataError, "NoSegment"),
    (errors.PointFormatError, "InvalidQuery"),
    (errors.InvalidValueError, "InvalidValue"),
    (errors.UnknownIdError, "InvalidValue"),
    (errors.ConfigurationError, "InvalidOptions"),
    (errors.MissingPackageError, "NotImplemented"),
    (errors.CostOverflowError, "InvalidValue"),
    (errors.CostRangeError, "InvalidValue"),
    (errors.NonPositiveCostError, "InvalidValue"),
    (errors.InfeasibleRewardError, "InvalidOptions"),
    (errors.NotConvergedError, "InvalidOptions"),
    (errors.UnderflowError, "InvalidOptions"),
)


def service_error(error: errors.TroddenError, points: Sequence[Coordinate] = ()) -> errors.ServiceRequestError:
    """The error to answer with. Its status is 500 where the fault is not the request's."""
    if isinstance(error, errors.ServiceRequestError):
        return error
    for kind, code in _CODES:
        if isinstance(error, kind):
            return errors.ServiceRequestError(
                code=code, problem=_where(error, points) + (_text(error) if points else str(error))
            )
    return errors.ServiceRequestError(code="InternalError", problem=str(error), status=500)


@contextmanager
def naming(points: Sequence[Coordinate]) -> Iterator[None]:
    """Errors raised inside name the coordinate that they are about."""
    try:
        yield
    except errors.TroddenError as error:
        raise service_error(error, points) from error


def _where(error: errors.TroddenError, points: Sequence[Coordinate]) -> str:
    """Which coordinates an error is about; empty where it is about none, or names no point."""
    if isinstance(error, errors.OffMapError):
        for index, point in enumerate(points):
            if error.point.endswith(f"({point.latitude_deg:.6f}, {point.longitude_deg:.6f})"):
                return f"coordinate {index}: "
    if isinstance(error, errors.UnreachableError):
        begins = [error.origin.startswith(str(point)) for point in points]
        ends = [error.destination.startswith(str(point)) for point in points]
        legs = [index for index in range(len(points) - 1) if begins[index] and ends[index + 1]]
        if legs:
            return f"from coordinate {legs[0]} to coordinate {legs[0] + 1}: "
        if True in begins and True in ends:
            return f"from coordinate {begins.index(True)} to coordinate {ends.index(True)}: "
    return ""


def _text(error: errors.TroddenError) -> str:
    """The message without the row that a batch would name: here that is the coordinate's index, named already."""
    return str(error).removeprefix(f"row {getattr(error, 'index', None)}: ")
