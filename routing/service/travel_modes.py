"""A network's mode in the words of OSRM: the profiles that clients may name, and the mode of a step."""

from __future__ import annotations

from collections.abc import Mapping

from ...graphs.modes import Mode

ANY_MODE = ("driving", "car", "auto", "default")
"""Taken for the first metric whatever the mode: what OSRM's clients send where they do not care."""

OWN_PROFILES: Mapping[Mode, tuple[str, ...]] = {
    "drive": (),
    "two_wheeler": ("motorcycle", "moped"),
    "bike": ("cycling", "bike", "bicycle"),
    "walk": ("walking", "foot"),
}
"""Further words for it; those of another mode than the network's are refused."""

STEP_MODE: Mapping[Mode, str] = {
    "drive": "driving",
    "two_wheeler": "driving",
    "bike": "cycling",
    "walk": "walking",
}
