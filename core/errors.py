"""Every error that trodden raises on purpose.

Each names the file, row, edge or point, the cause and the next step. Each also subclasses the builtin exception that a
caller would expect, and survives pickling, so that it can cross from a Ray worker.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class TroddenError(Exception):
    """Base of all errors of this package. Subclasses keep their keyword arguments as attributes."""

    def __reduce__(self) -> tuple[Any, ...]:
        # A keyword-only constructor must survive pickling across Ray, and so must notes, which are no argument of it.
        arguments = {name: value for name, value in vars(self).items() if name != "__notes__"}
        notes = {"__notes__": self.__notes__} if hasattr(self, "__notes__") else None
        return functools.partial(type(self), **arguments), (), notes


# ---------------------------------------------------------------------------------------------- files and input


class InputFileError(TroddenError, ValueError):
    """A file that cannot be used: missing, truncated, of another format, or with a bad value in it."""

    def __init__(
        self, *, path: str | Path, problem: str, remedy: str, row: int | None = None, column: str | None = None
    ):
        self.path, self.problem, self.remedy, self.row, self.column = str(path), problem, remedy, row, column
        place = "".join((f", row {row}" if row is not None else "", f", column {column!r}" if column else ""))
        super().__init__(f"{path}{place}: {problem}. {remedy}")


class StoredFolderError(TroddenError, ValueError):
    """A network, model or checkpoint folder that does not verify: altered, cut short, of another kind or version."""

    def __init__(self, *, path: str | Path, problem: str, remedy: str):
        self.path, self.problem, self.remedy = str(path), problem, remedy
        super().__init__(f"{path}: {problem}. {remedy}")


class WrongNetworkError(TroddenError, ValueError):
    """Two things that belong to different networks were used together."""

    def __init__(self, *, what: str, expected: str, found: str):
        self.what, self.expected, self.found = what, expected, found
        super().__init__(
            f"{what} was made for the network {expected[:12]}, not for {found[:12]}; use the network it was made with, "
            "or train again on this one"
        )


class ConfigurationError(TroddenError, ValueError):
    """A setting that is unknown, of the wrong type, out of range, or contradicts another."""

    def __init__(self, *, where: str, problem: str):
        self.where, self.problem = where, problem
        super().__init__(f"{where}: {problem}")


class EmptyNetworkError(TroddenError, ValueError):
    """Nothing drivable is left of an extract, or a network has no turn to take."""

    def __init__(self, *, path: str | Path, problem: str, remedy: str):
        self.path, self.problem, self.remedy = str(path), problem, remedy
        super().__init__(f"{path}: {problem}. {remedy}")


class MissingDataError(TroddenError, ValueError):
    """The network lacks what was asked for (coordinates, lengths, OSM ids)."""

    def __init__(self, *, needs: str, because: str, remedy: str):
        self.needs, self.because, self.remedy = needs, because, remedy
        super().__init__(f"this network has no {needs}, which {because} needs; {remedy}")


class InvalidValueError(TroddenError, ValueError):
    """A NaN, infinite, negative or out-of-range number; names its row and column."""

    def __init__(self, *, column: str, row: int, row_name: str, value: float, expected: str):
        self.column, self.row, self.row_name, self.value, self.expected = column, row, row_name, value, expected
        super().__init__(f"column {column!r}, {row_name} (row {row}): {value!r} is not {expected}")


class UnknownIdError(TroddenError, LookupError):
    """An edge or node id that the network does not have."""

    def __init__(self, *, kind: str, identifier: int | str, remedy: str):
        self.kind, self.identifier, self.remedy = kind, identifier, remedy
        super().__init__(f"no {kind} with id {identifier} in this network; {remedy}")


# ---------------------------------------------------------------------------------------------- demonstrations


class DemonstrationError(TroddenError, ValueError):
    """A route that cannot be used, where ``strict`` asked for every route to be usable."""

    def __init__(self, *, route: str, status: str, detail: str):
        self.route, self.status, self.detail = route, status, detail
        super().__init__(f"route {route}: {status} ({detail}); leave strict off to skip and count such routes")


class NoDemonstrationsError(TroddenError, ValueError):
    """No usable route is left; names the main causes."""

    def __init__(self, *, source: str, num_routes: int, causes: Mapping[str, int]):
        self.source, self.num_routes, self.causes = source, num_routes, dict(causes)
        main = ", ".join(f"{count} {reason}" for reason, count in list(self.causes.items())[:3]) or "the file is empty"
        super().__init__(
            f"{source}: none of {num_routes} routes can be used ({main}); check that the ids are those of this network"
        )


class IncomparableModelsError(TroddenError, ValueError):
    """Two fitted models that a test has nothing to say about: not nested, or not on the same routes."""

    def __init__(self, *, problem: str, remedy: str):
        self.problem, self.remedy = problem, remedy
        super().__init__(f"{problem}; {remedy}")


# ---------------------------------------------------------------------------------------------- rewards and values


class InconsistentModelError(TroddenError, ArithmeticError):
    """A model whose stored costs are not those that its own reward gives."""

    def __init__(self, *, from_edge: int, to_edge: int, stored: float, given: float):
        self.from_edge, self.to_edge, self.stored, self.given = from_edge, to_edge, stored, given
        super().__init__(
            f"the turn from edge {from_edge} to edge {to_edge} costs {stored:.9g} in this model, but the terms of its "
            f"reward add up to {given:.9g}; its costs were changed after training: train again, or load what training "
            "wrote"
        )


class InfeasibleRewardError(TroddenError, ArithmeticError):
    """The expected number of turns is infinite under this reward: some cycle costs too little to be left."""

    def __init__(self, *, radius: float, cycle: list[int], constant: float, ending: str):
        self.radius, self.cycle, self.constant, self.ending = radius, cycle, constant, ending
        super().__init__(
            f"values diverge under this reward (spectral radius {radius:.6g}, must be below 1 for {ending!r}); "
            f"the heaviest cycle runs over edges {cycle}; a further cost of at least {constant:.6g} per edge mends it "
            "(or start from a larger constant)"
        )


class NotConvergedError(TroddenError, ArithmeticError):
    """A fixed point was not reached within the sweep budget."""

    def __init__(self, *, residual: float, tolerance: float, num_sweeps: int):
        self.residual, self.tolerance, self.num_sweeps = residual, tolerance, num_sweeps
        super().__init__(
            f"residual {residual:.3g} > tolerance {tolerance:.3g} after {num_sweeps} sweeps; raise max_sweeps, "
            "or check that every cycle costs something"
        )


class UnderflowError(TroddenError, ArithmeticError):
    """exp(value) is too small for float64; the log-space solver has no such limit."""

    def __init__(self, *, destination: int, value: float):
        self.destination, self.value = destination, value
        super().__init__(
            f"destination edge {destination}: the exponential of the value underflows float64 (about {value:.4g}); "
            "use solver='sweeps', which works in log space"
        )


class NonPositiveCostError(TroddenError, ValueError):
    """A turn that costs nothing or less."""

    def __init__(self, *, num_turns: int, from_edge: int, to_edge: int, cost: float):
        self.num_turns, self.from_edge, self.to_edge, self.cost = num_turns, from_edge, to_edge, cost
        super().__init__(
            f"{num_turns} turns have a cost that is not a positive number; the worst, from edge {from_edge} "
            f"to edge {to_edge}, costs {cost:.6g}; shortest paths need positive finite costs: train with positivity "
            "(the default)"
        )


class CostOverflowError(TroddenError, OverflowError):
    """Quantised path sums could pass the largest integer of the query engine."""

    def __init__(self, *, quantum: float, smallest_quantum: float, longest_path: float):
        self.quantum, self.smallest_quantum, self.longest_path = quantum, smallest_quantum, longest_path
        super().__init__(
            f"with a quantum of {quantum:.3g} a path cost of up to {longest_path:.6g} would overflow 31 bits; "
            f"use a quantum of at least {smallest_quantum:.3g}, or leave it to be chosen"
        )


class CostRangeError(TroddenError, ValueError):
    """Costs of so different sizes that integers cannot hold them all: the common ones would be rounded away."""

    def __init__(self, *, cost: float, typical: float, from_edge: int, to_edge: int):
        self.cost, self.typical, self.from_edge, self.to_edge = cost, typical, from_edge, to_edge
        super().__init__(
            f"the turn from edge {from_edge} to edge {to_edge} costs {cost:.6g} where the typical turn costs "
            f"{typical:.6g}: both do not fit the integers of the query engine; lower it, or give a quantum and accept "
            "the rounding"
        )


# ---------------------------------------------------------------------------------------------- queries


class UnreachableError(TroddenError, LookupError):
    """No route joins two points; names which, why, and the nearest point that can be reached."""

    def __init__(self, *, index: int | None, origin: str, destination: str, cause: str, nearest: str):
        self.index, self.origin, self.destination = index, origin, destination
        self.cause, self.nearest = cause, nearest
        row = "" if index is None else f"row {index}: "
        super().__init__(f"{row}no route from {origin} to {destination}: {cause}. {nearest}")


class QueryEngineError(TroddenError, RuntimeError):
    """The query engine failed although its input was checked; the query that failed is thrown away."""

    def __init__(self, *, engine: str, problem: str):
        self.engine, self.problem = engine, problem
        super().__init__(f"the engine {engine} failed ({problem}); report this, and use engine='scipy' meanwhile")


class PointFormatError(TroddenError, ValueError):
    """An origin or destination that is not written in one of the known ways."""

    def __init__(self, *, point: str, problem: str, index: int | None = None):
        self.point, self.problem, self.index = point, problem, index
        row = "" if index is None else f"row {index}: "
        super().__init__(
            f"{row}point {point!r} {problem}; write it as (latitude, longitude), 'latitude,longitude', 'edge:ID', "
            "'node:ID' or 'osm:NODE'"
        )


class OffMapError(TroddenError, LookupError):
    """A coordinate outside the map, or farther from any road than the snapping limit."""

    def __init__(self, *, point: str, distance_m: float, limit_m: float, hint: str, index: int | None = None):
        self.point, self.distance_m, self.limit_m, self.hint, self.index = point, distance_m, limit_m, hint, index
        row = "" if index is None else f"row {index}: "
        super().__init__(
            f"{row}{point} is {distance_m:.0f} m from the nearest road of the main network "
            f"(limit {limit_m:.0f} m). {hint}"
        )


class ServiceRequestError(TroddenError, ValueError):
    """An HTTP request that cannot be answered; ``code`` is one of OSRM's words for why."""

    def __init__(self, *, code: str, problem: str, status: int = 400):
        self.code, self.problem, self.status = code, problem, status
        super().__init__(problem)


# ---------------------------------------------------------------------------------------------- environment


class DownloadError(TroddenError, ConnectionError):
    """A server could not be asked, or did not answer as it should."""

    def __init__(self, *, url: str, problem: str, remedy: str):
        self.url, self.problem, self.remedy = url, problem, remedy
        super().__init__(f"{url.partition('?')[0]}: {problem}. {remedy}.")


class MissingPackageError(TroddenError, ImportError):
    """An optional package is needed and not installed."""

    def __init__(self, *, package: str, needed_for: str, install: str):
        self.package, self.needed_for, self.install = package, needed_for, install
        super().__init__(f"{needed_for} needs the package {package}, which is not installed; run: {install}")


class ResourceError(TroddenError, RuntimeError):
    """The cluster cannot give what was asked for."""

    def __init__(self, *, asked: str, available: str, remedy: str):
        self.asked, self.available, self.remedy = asked, available, remedy
        super().__init__(f"asked for {asked}, but there is {available}; {remedy}")


class PartitionError(TroddenError, RuntimeError):
    """A partitioner returned regions that nobody asked for."""

    def __init__(self, *, method: str, problem: str, remedy: str):
        self.method, self.problem, self.remedy = method, problem, remedy
        super().__init__(f"{method} {problem}; {remedy}")


class FolderInUseError(TroddenError, RuntimeError):
    """Another run works in a folder, so that this one would spoil what it writes."""

    def __init__(self, *, path: str | Path, holder: str):
        self.path, self.holder = path, holder
        super().__init__(f"{path} is in use by {holder}; wait for it to end, stop it, or choose another output")


class InterruptedRunError(TroddenError, RuntimeError):
    """A signal stopped a run; what was reached is saved."""

    def __init__(self, *, signal_name: str, saved: str, exit_code: int):
        self.signal_name, self.saved, self.exit_code = signal_name, saved, exit_code
        super().__init__(f"stopped by {signal_name}; {saved}")
