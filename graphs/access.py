"""Who may use a way or pass a node: the access tags of OpenStreetMap, read from the general key to the specific one.

``access`` speaks of everybody, ``vehicle`` of everything on wheels, ``motor_vehicle`` of what has a motor, ``bicycle``,
``foot`` and ``motorcycle`` of one mode; of several that say something, the most specific counts
(https://wiki.openstreetmap.org/wiki/Key:access). A value opens (`OPEN_VALUES`), closes (`CLOSED_VALUES`), or says
nothing, so that the next key counts. Of several values, split at semicolons, one that opens is enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

OPEN_VALUES = frozenset(
    {"yes", "designated", "permissive", "official", "destination", "dismount", "permit", "customers", "residents"}
)
"""``destination``, ``customers`` and their like stay open, as osmnx leaves them: a trip may well end there."""
CLOSED_VALUES = frozenset(
    {"no", "private", "agricultural", "forestry", "delivery", "military", "emergency", "use_sidepath", "restricted"}
)
"""``use_sidepath``: a path beside the road is compulsory, so that the road itself is not used."""


def says(value: str | None) -> bool | None:
    """Whether a value opens or closes; None where it says neither.

    >>> says("yes;private"), says("private;delivery"), says("unknown"), says(None)
    (True, False, None, None)
    """
    if value is None:
        return None
    parts = {part.strip() for part in value.split(";")} if ";" in value else {value.strip()}
    if parts & OPEN_VALUES:
        return True
    return False if parts & CLOSED_VALUES else None


def deciding_key(tags: Mapping[str, str], keys: Sequence[str]) -> tuple[str, bool] | None:
    """The most specific key that says something, and whether it opens; None where none does.

    Parameters
    ----------
    keys
        From the general to the specific.

    Examples
    --------
    >>> deciding_key({"access": "no", "bicycle": "yes"}, ("access", "vehicle", "bicycle"))
    ('bicycle', True)
    """
    for key in reversed(keys):
        verdict = says(tags.get(key))
        if verdict is not None:
            return key, verdict
    return None
