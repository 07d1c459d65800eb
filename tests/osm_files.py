"""OSM files written piece by piece, for the odd cases that no drawing can hold."""

from __future__ import annotations

from pathlib import Path


def osm(*items: str) -> str:
    return "<?xml version='1.0'?><osm version='0.6'>" + "".join(items) + "</osm>"


def node(number: int, latitude: float = 41.0, longitude: float | None = None) -> str:
    longitude = -8.0 + number * 0.001 if longitude is None else longitude
    return f'<node id="{number}" version="1" lat="{latitude}" lon="{longitude}"/>'


def way(number: int, refs: list[int], **tags: str) -> str:
    tags = {"highway": "residential", **tags}
    inner = "".join(f'<nd ref="{ref}"/>' for ref in refs)
    inner += "".join(f'<tag k="{key}" v="{value}"/>' for key, value in tags.items())
    return f'<way id="{number}" version="1">{inner}</way>'


def write(folder: Path, *items: str) -> Path:
    path = folder / "made.osm"
    path.write_text(osm(*items), encoding="utf-8")
    return path


def convert(source: Path, target: Path) -> None:
    import osmium

    with osmium.SimpleWriter(str(target)) as writer:
        for item in osmium.FileProcessor(str(source)):
            writer.add(item)
