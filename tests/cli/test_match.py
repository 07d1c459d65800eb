"""``trodden traces`` and ``trodden match``: GPS in, routes out, read as a stranger would."""

from __future__ import annotations

import csv
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from small_city import city_xml, trodden
from trodden import read_demonstrations, read_roads


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("match")
    (place / "city.osm").write_text(city_xml(), encoding="utf-8")
    assert trodden("build", "city.osm", "-o", "city", cwd=place).code == 0
    assert trodden("simulate", "city", "-n", 60, "--min-km", 0.4, "-o", "true.parquet", cwd=place).code == 0
    done = trodden("traces", "city", "--routes", "true.parquet", "-o", "traces.csv", "--interval", 5, cwd=place)
    assert done.code == 0, done.err
    assert "60 simulated traces" in done.out
    with (place / "traces.csv").open("a", encoding="utf-8") as file:
        file.write('"far","2023-11-15T12:00:00Z",48.1,11.5,false\n"far","2023-11-15T12:00:09Z",48.2,11.5,false\n')
        file.write('"swapped","2023-11-15T12:00:00Z",-71.25,-29.9,false\n"swapped",,-71.24,-29.89,false\n')
        file.write('"swapped","2023-11-15T12:00:09Z",-71.24,-29.89,false\n"alone","2023-11-15T12:00:00Z",-29.9,-71.25,')
        file.write("false\n")
    return place


@pytest.fixture(scope="module")
def matched(folder):
    done = trodden("match", "city", "traces.csv", "-o", "out/routes.parquet", "--skipped", "out/why.csv", cwd=folder)
    assert done.code == 0, done.err
    return done


def test_routes_are_those_travelled(folder, matched):
    roads = read_roads(folder / "city")
    true = read_demonstrations(folder / "true.parquet", roads)
    found = read_demonstrations(folder / "out" / "routes.parquet", roads)
    assert found.skipped == ()
    assert found.is_simulated
    length = roads.edge_length_m()
    right = total = 0.0
    table = pyarrow.parquet.read_table(folder / "out" / "routes.parquet")
    owner = table.column("trace_id").to_pylist()
    for row in range(len(true)):
        mine = [set(found.route(k).tolist()) for k in range(len(found)) if owner[k] == true.route_id[row]]
        total += length[true.route(row)].sum()
        right += sum(length[edge] for edge in true.route(row) if any(edge in one for one in mine))
    assert right / total > 0.85
    confidence = np.array(table.column("confidence"))
    assert ((confidence >= 0.5) & (confidence <= 1)).all()
    assert all(re.fullmatch(r"2023-11-1\dT\d\d:\d\d:\d\dZ", text) for text in table.column("departure").to_pylist())


def test_every_trace_without_a_route_has_its_reason(folder, matched):
    with (folder / "out" / "why.csv").open(encoding="utf-8") as file:
        why = {row["trace_id"]: row for row in csv.DictReader(file)}
    assert {name: why[name]["status"] for name in ("far", "swapped", "alone")} == {
        "far": "outside",
        "swapped": "swapped",
        "alone": "single_point",
    }
    assert "latitude comes first" in why["swapped"]["detail"]
    assert re.search(r"^not_a_number +1 ", matched.out, re.M)
    assert re.search(r"^outside +1 ", matched.out, re.M)
    assert "63 simulated traces" in matched.out
    assert all(len(line) <= 80 for line in matched.out.splitlines())
    assert matched.err == ""


def test_a_model_is_learned_from_them_and_matches_again(folder, matched):
    done = trodden("train", "city", "--routes", "out/routes.parquet", "-o", "model", cwd=folder)
    assert done.code == 0, done.err
    assert "simulated routes" in done.out
    again = trodden("match", "city", "traces.csv", "-o", "again.csv", "--model", "model", cwd=folder)
    assert again.code == 0, again.err
    assert len(read_demonstrations(folder / "again.csv", read_roads(folder / "city"))) > 40


def test_private_ends(folder):
    line = ("match", "city", "traces.csv", "-o", "private.parquet", "--min-travellers", 2, "--cut-ends", 100)
    done = trodden(*line, cwd=folder)
    if done.code == 2:  # so few routes may share no ends
        assert "rare_ends" in done.err
        return
    table = pyarrow.parquet.read_table(folder / "private.parquet")
    links = [text.split() for text in table.column("links").to_pylist()]
    for end in (0, -1):
        names = [row[end] for row in links]
        assert min(names.count(name) for name in names) >= 2
    assert "rare_ends" in done.out


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("match city nowhere.csv -o r.parquet", ["nowhere.csv", "no such file"]),
        ("match city traces.csv -o r.txt", ["r.txt", ".parquet or .csv"]),
        ("match nowhere traces.csv -o r.parquet", ["nowhere"]),
        ("match city traces.csv -o r.parquet --time when", ["when", "no such column"]),
        ("match city traces.csv -o r.parquet --sigma -3", ["sigma_m"]),
        ("match city traces.csv -o r.parquet --min-confidence 2", ["min_confidence"]),
        ("match city traces.csv -o r.parquet --time-zone Mars", ["Mars"]),
        ("match city far.csv -o r.parquet", ["none of 1", "outside"]),
        ("traces city --routes true.parquet -o t.xls", ["t.xls"]),
        ("traces city --routes true.parquet -o t.csv --interval 0", ["interval_s"]),
    ],
)
def test_bad_use_is_named(folder, line, words):
    (folder / "far.csv").write_text("id,lat,lon\na,48.1,11.5\na,48.2,11.5\n")
    done = trodden(*line.split(), cwd=folder)
    assert done.code == 2, done.out + done.err
    for word in words:
        assert word in done.err
    assert not (folder / "r.parquet").exists()


def test_a_folder_of_parquet_and_csv(folder):
    (folder / "days").mkdir(exist_ok=True)
    with (folder / "traces.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["trace_id"].startswith("simulated-1")]
    names = ("trace_id", "time", "latitude", "longitude")
    pyarrow.parquet.write_table(pa.table({n: [row[n] for row in rows] for n in names}), folder / "days" / "a.parquet")
    done = trodden("match", "city", "days", "-o", "days.csv", cwd=folder)
    assert done.code == 0, done.err
    assert read_demonstrations(folder / "days.csv", read_roads(folder / "city")).skipped == ()
