"""Choose a configuration by cross-validation on training routes: horizon, regularisation, kind of reward.

Every candidate is learned on all folds but one and asked for the routes of that one; what each fold gave is stored, so
that an interrupted selection goes on where it stood, and one with more candidates works out the new ones alone.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..core.config import Config, parse_config
from ..core.errors import ConfigurationError, TroddenError
from ..core.files import write_file
from ..core.types import Bools, Floats, Ids
from ..graphs.road_graph import RoadNetwork
from .demonstrations import Demonstrations, require_network
from .evaluation import log_probabilities, match_learned
from .measures import PairedComparison, compare_matches
from .training import fit

Measure = Literal["exact", "iou", "nll"]


@dataclass(frozen=True)
class Candidate:
    """A configuration to be tried."""

    name: str
    """What it sets, in words."""
    config: Config


@dataclass(frozen=True, eq=False)
class CandidateScore:
    """How a candidate did on all routes, each predicted by a model that had not seen it."""

    candidate: Candidate
    exact: float
    iou: float
    nll: float | None
    """Per route; None where there is no likelihood."""
    seconds: float
    """Spent on learning, all folds."""
    problem: str
    """Why it has no scores, where a fold failed; empty otherwise."""
    against_best: PairedComparison | None
    """Exact matches of this one minus those of the best, on the same routes; None for the best and for failures."""

    def value(self, by: Measure) -> float:
        """What is larger for the better of two; minus infinity for a failure."""
        if self.problem:
            return -np.inf
        return {"exact": self.exact, "iou": self.iou, "nll": -np.inf if self.nll is None else -self.nll}[by]


@dataclass(frozen=True, eq=False)
class Selection:
    """What `select` found."""

    scores: tuple[CandidateScore, ...]
    """The best first."""
    by: Measure
    num_folds: int
    num_routes: int
    is_simulated: bool

    @property
    def best(self) -> CandidateScore:
        """The first one."""
        return self.scores[0]

    def to_json(self) -> dict[str, Any]:
        """As dictionaries, lists and numbers."""
        return {
            "by": self.by,
            "folds": self.num_folds,
            "routes": self.num_routes,
            "is_simulated": self.is_simulated,
            "candidates": [
                {
                    "name": one.candidate.name,
                    "exact": one.exact if not one.problem else None,
                    "iou": one.iou if not one.problem else None,
                    "nll": one.nll,
                    "seconds": one.seconds,
                    "problem": one.problem,
                    "gap_to_best": one.against_best.difference if one.against_best else None,
                    "gap_interval": list(one.against_best.interval) if one.against_best else None,
                }
                for one in self.scores
            ],
        }


def read_candidates(path: str | Path, base: Config) -> tuple[Candidate, ...]:
    """The candidates of a TOML file, each a change of ``base``.

    ``[grid]`` maps settings by dotted name to lists of values, and stands for every combination; each ``[[candidate]]``
    sets what it names, and may have a ``name``.

    Raises
    ------
    ConfigurationError
        The file is missing or is not TOML, holds something else, or a candidate is no valid configuration; names it.
    """
    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(where=str(path), problem=f"cannot be read as TOML ({error})") from error
    unknown = set(document) - {"grid", "candidate"}
    grid, listed = document.get("grid", {}), document.get("candidate", [])
    if unknown or not isinstance(grid, dict) or not isinstance(listed, list) or not (grid or listed):
        raise ConfigurationError(where=str(path), problem="holds no [grid] of lists and no [[candidate]], or more")
    axes = _flat(grid)
    for name, values in axes.items():
        if not isinstance(values, list) or not values:
            raise ConfigurationError(where=f"{path} [grid]", problem=f"{name} is not a list of values")
    combined = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())] if axes else []
    named = [{**_flat({k: v for k, v in one.items() if k != "name"}), "": one.get("name")} for one in listed]
    return tuple(_candidate(one, base, path) for one in [*combined, *named])


def select(
    network: RoadNetwork,
    routes: Demonstrations,
    candidates: Sequence[Candidate],
    folder: str | Path,
    *,
    by: Measure = "exact",
    num_folds: int = 5,
    hold_out: Literal["route", "pair"] = "route",
    seed: int = 0,
    progress: Callable[[int, str], None] | None = None,
) -> Selection:
    """Cross-validate every candidate on the same folds, in ``folder``, which keeps what is done.

    Parameters
    ----------
    hold_out
        Whether folds are drawn route by route, or by whole origin-destination pairs, of which then none was seen.
    progress
        Called with the number of fits done, and the candidate at work.

    Raises
    ------
    ConfigurationError
        No candidate could be learned, or there are fewer routes than folds.

    Notes
    -----
    Candidates times folds fits. What a candidate cannot learn (values do not exist, say) is a failure of its own.
    """
    require_network(routes, network.checksum, "the set of demonstrations")
    if len(routes) < num_folds or num_folds < 2:
        raise ConfigurationError(where="select", problem=f"{num_folds} folds of {len(routes)} routes cannot be made")
    fold = _folds(routes, num_folds, hold_out, seed)
    results = Path(folder) / "folds"
    done = 0
    found: list[tuple[Candidate, _Outcome | str]] = []
    for candidate in candidates:
        parts: list[_Outcome | str] = []
        for number in range(num_folds):
            if progress is not None:
                progress(done, candidate.name)
            parts.append(_stored_fold(routes, candidate.config, np.flatnonzero(fold == number), fold, number, results))
            done += 1
        failures = [part for part in parts if isinstance(part, str)]
        found.append((candidate, failures[0] if failures else _Outcome.joined(parts)))  # type: ignore[arg-type]
    if progress is not None:
        progress(done, "")
    if all(isinstance(outcome, str) for _, outcome in found):
        raise ConfigurationError(where="select", problem=f"no candidate could be learned; the first: {found[0][1]}")
    return _ranked(found, routes, by, num_folds)


@dataclass(frozen=True, eq=False)
class _Outcome:
    """What held-out routes gave, in the order of ``row``."""

    row: Ids
    matched: Bools
    overlap: Floats
    log_probability: Floats | None
    seconds: float

    @classmethod
    def joined(cls, parts: Sequence[_Outcome]) -> _Outcome:
        order = np.argsort(np.concatenate([part.row for part in parts]))
        likelihoods = [part.log_probability for part in parts]
        known = [one for one in likelihoods if one is not None]
        return cls(
            np.concatenate([part.row for part in parts])[order],
            np.concatenate([part.matched for part in parts])[order],
            np.concatenate([part.overlap for part in parts])[order],
            np.concatenate(known)[order] if len(known) == len(parts) else None,
            sum(part.seconds for part in parts),
        )

    def to_json(self) -> dict[str, Any]:
        likelihood = None if self.log_probability is None else self.log_probability.tolist()
        return {
            "row": self.row.tolist(),
            "matched": self.matched.astype(int).tolist(),
            "overlap": self.overlap.tolist(),
            "log_probability": likelihood,
            "seconds": self.seconds,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> _Outcome:
        likelihood = document["log_probability"]
        return cls(
            np.array(document["row"], np.int64),
            np.array(document["matched"], bool),
            np.array(document["overlap"], np.float64),
            None if likelihood is None else np.array(likelihood, np.float64),
            float(document["seconds"]),
        )


def _stored_fold(
    routes: Demonstrations, config: Config, rows: Ids, fold: Ids, number: int, results: Path
) -> _Outcome | str:
    """The outcome of a fold, from its file where it was worked out before; or why it failed."""
    document = {
        "routes": routes.digest(config.planner.ending),
        **({"contexts": routes.context_digest()} if config.context.is_given else {}),
        "config": config.model_dump(mode="json"),
        "rows": hashlib.sha256(rows.tobytes()).hexdigest(),
    }
    key = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    path = results / f"{key[:32]}.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["key"] == key:
            return str(stored["failure"]) if "failure" in stored else _Outcome.from_json(stored["outcome"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not there, or not whole: worked out again
    try:
        outcome = _fold(routes, config, rows, np.flatnonzero(fold != number))
    except TroddenError as error:
        failure = f"{type(error).__name__}: {error}"
        write_file(path, json.dumps({"key": key, "failure": failure}).encode())
        return failure
    write_file(path, json.dumps({"key": key, "outcome": outcome.to_json()}).encode())
    return outcome


def _fold(routes: Demonstrations, config: Config, rows: Ids, others: Ids) -> _Outcome:
    started = time.perf_counter()
    model = fit(routes.network, routes.take(others), config)
    seconds = time.perf_counter() - started
    # Routes that the ending forbids are no fault of a candidate: all with one ending lose the same ones.
    held = routes.take(rows).for_ending(config.planner.ending)
    kept = rows[np.isin(np.array(routes.take(rows).route_id), np.array(held.route_id))]
    matched, overlap = match_learned(model, held)
    return _Outcome(kept, matched, overlap, log_probabilities(model, held), seconds)


def _ranked(
    found: Sequence[tuple[Candidate, _Outcome | str]], routes: Demonstrations, by: Measure, num_folds: int
) -> Selection:
    scores = [_score(candidate, outcome, routes) for candidate, outcome in found]
    order = sorted(range(len(scores)), key=lambda k: -scores[k].value(by))
    best = found[order[0]][1]
    assert isinstance(best, _Outcome)  # a failure is never the best
    ranked = []
    for k in order:
        outcome = found[k][1]
        gap = None
        if k != order[0] and isinstance(outcome, _Outcome) and np.array_equal(outcome.row, best.row):
            gap = compare_matches(outcome.matched, best.matched, routes.weight[best.row])
        ranked.append(CandidateScore(**{**vars(scores[k]), "against_best": gap}))
    return Selection(tuple(ranked), by, num_folds, len(routes), routes.is_simulated)


def _score(candidate: Candidate, outcome: _Outcome | str, routes: Demonstrations) -> CandidateScore:
    if isinstance(outcome, str):
        return CandidateScore(candidate, np.nan, np.nan, None, 0.0, outcome, None)
    weight = routes.weight[outcome.row]
    nll = None
    if outcome.log_probability is not None:
        nll = -float(np.average(outcome.log_probability, weights=weight))
    return CandidateScore(
        candidate,
        float(np.average(outcome.matched, weights=weight)),
        float(np.average(outcome.overlap, weights=weight)),
        nll,
        outcome.seconds,
        "",
        None,
    )


def _folds(routes: Demonstrations, count: int, hold_out: str, seed: int) -> Ids:
    """int64[R]: the fold of each route."""
    random = np.random.default_rng(seed)
    if hold_out == "route":
        return np.asarray(random.permutation(len(routes)) % count, np.int64)
    _, pair = np.unique(routes.pair_keys("stop"), return_inverse=True)
    of_pair = random.permutation(int(pair.max()) + 1) % count
    return np.asarray(of_pair[pair.reshape(-1)], np.int64)


def _candidate(changes: Mapping[str, Any], base: Config, path: str | Path) -> Candidate:
    wanted = {name: value for name, value in changes.items() if name}
    name = changes.get("") or ", ".join(f"{key} = {_shown(value)}" for key, value in wanted.items())
    document = base.model_dump(mode="json", exclude_unset=True)
    for key, value in wanted.items():
        section, _, setting = key.partition(".")
        document.setdefault(section, {})[setting] = value
    # The search for penalties says nothing about a candidate, and takes longer than learning it.
    document["baselines"] = {**document.get("baselines", {}), "budget": 0}
    return Candidate(str(name), parse_config(document, where=f"{path}, candidate {name!r}"))


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one, by dotted names."""
    result: dict[str, Any] = {}
    for name, value in table.items():
        result |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return result


def _shown(value: Any) -> str:
    return json.dumps(value)
