"""Naive versions of what the package computes: slow, obvious, and what the tests compare with."""

from __future__ import annotations

# ------------------------------------------------------------------------------------------------ joining chains


def join_naively(tail: list[int], head: list[int], stops: set[int]) -> set[tuple[int, ...]]:
    """Chains as tuples of segment positions, by walking; a ring without a stop is broken at its lowest node."""
    stops = set(stops)
    out: dict[int, list[int]] = {}
    for segment, node in enumerate(tail):
        out.setdefault(node, []).append(segment)

    def onward(segment: int) -> int | None:
        if head[segment] in stops:
            return None
        (following,) = (other for other in out[head[segment]] if head[other] != tail[segment])
        return following

    for begin in range(len(tail)):
        seen, segment = [begin], onward(begin)
        while segment is not None and segment != begin:
            seen.append(segment)
            segment = onward(segment)
        if segment == begin:
            stops.add(min(tail[one] for one in seen))
    chains = set()
    for begin in range(len(tail)):
        if tail[begin] in stops:
            chain, segment = [begin], onward(begin)
            while segment is not None:
                chain.append(segment)
                segment = onward(segment)
            chains.add(tuple(chain))
    return chains


def osmnx_endpoints(tail: list[int], head: list[int], num_nodes: int) -> set[int]:
    """Rules 1 to 3 of `osmnx.simplification._is_endpoint`."""
    found = set()
    for node in range(num_nodes):
        into = [a for a, b in zip(tail, head, strict=True) if b == node]
        out = [b for a, b in zip(tail, head, strict=True) if a == node]
        neighbours, degree = {*into, *out}, len(into) + len(out)
        if node in neighbours or not into or not out or not (len(neighbours) == 2 and degree in {2, 4}):
            found.add(node)
    return found
