"""``trodden rebase``: a model on another reading of its map, and what it says."""

from __future__ import annotations

import json

from small_city import trodden
from trodden.irl.checkpoints import load_model


def test_a_model_is_carried_and_every_count_is_said(chain, tmp_path):
    """City.osm again, but that one street is gone."""
    xml = (chain.folder / "city.osm").read_text()
    begin = xml.index('<way id="1005"')
    end = xml.index("</way>", begin) + len("</way>")
    (tmp_path / "later.osm").write_text(xml[:begin] + xml[end:])
    done = trodden("rebase", chain.folder / "model", "later.osm", "-o", "moved", "--json", "counts.json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert max(len(line) for line in done.out.splitlines()) <= 100
    counts = json.loads((tmp_path / "counts.json").read_text())
    assert counts["edges"]["gone"] > 0
    assert counts["edges"]["unknown_before"] == 0
    assert f"gone: {counts['edges']['gone']}" in done.out
    moved = load_model(tmp_path / "moved")
    assert moved.network.graph.num_edges == counts["edges"]["new_edges"]
    assert moved.summary["rebased_from"] == load_model(chain.folder / "model").network.checksum
    again = trodden("rebase", chain.folder / "model", "later.osm", "-o", chain.folder / "city", cwd=tmp_path)
    assert again.code == 2
    assert "will not be replaced" in again.err
