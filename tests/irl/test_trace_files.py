"""Reading traces: every format, guessed columns, clocks of all kinds, and what is wrong with a file."""

from __future__ import annotations

import itertools
import json
import resource
import time

import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import shapely
from trodden.core.errors import ConfigurationError, InputFileError, MissingDataError
from trodden.irl import trace_files
from trodden.irl.trace_columns import TraceColumns, iso_times
from trodden.irl.trace_documents import traces_from_geodataframe
from trodden.irl.trace_files import read_trace_blocks, write_traces
from trodden.irl.traces import Traces, joined_traces

NOON = 1_700_049_600.0  # 2023-11-15 12:00 UTC

GPX = """<?xml version="1.0"?>
<gpx version="1.1" xmlns="http://www.topografix.com/GPX/1/1"><trk><name>a</name><trkseg>
<trkpt lat="41.1" lon="-8.6"><time>2023-11-15T12:00:00Z</time><speed>10</speed><course>90</course></trkpt>
<trkpt lat="41.2" lon="-8.5"><time>2023-11-15T12:00:10Z</time></trkpt></trkseg>
<trkseg><trkpt lat="41.3" lon="-8.4"/></trkseg></trk></gpx>
"""
BOMB = """<?xml version="1.0"?><!DOCTYPE gpx [<!ENTITY a "aaaaaaaaaa">
{entities}]><gpx><trk><name>&z;</name></trk></gpx>"""


def read(path, columns: TraceColumns | None = None) -> Traces:
    return joined_traces(list(read_trace_blocks(path, columns)))


def table(path, text: str, columns: TraceColumns | None = None) -> Traces:
    path.write_text(text, encoding="utf-8")
    return read(path, columns)


@pytest.mark.parametrize(
    ("header", "rest"),
    [
        ("trip_id,timestamp,lat,lon", "{t},41.1,-8.6"),
        ("ID,Time,Y,X", "{t},41.1,-8.6"),
        ("id;datetime;latitude;lng", "{t};41.1;-8.6"),
        ("trace_id\ttime\tlatitude\tlongitude", "{t}\t41.1\t-8.6"),
    ],
)
@pytest.mark.parametrize(
    "clock",
    [
        "2023-11-15T12:00:00Z",
        "2023-11-15T13:00:00+01:00",
        "2023-11-15 12:00:00",
        "1700049600",
        "1700049600000",
        "1700049600.0",
    ],
)
def test_columns_and_clocks_are_understood(tmp_path, header, rest, clock):
    mark = next(sign for sign in ",;\t" if sign in header)
    traces = table(tmp_path / "t.csv", f"{header}\na{mark}{rest.format(t=clock)}\nb{mark}{rest.format(t=clock)}\n")
    assert list(traces.trace_id) == ["a", "b"]
    assert traces.time_s.tolist() == [NOON, NOON]
    assert traces.latitude_deg.tolist() == [41.1, 41.1]
    assert traces.longitude_deg.tolist() == [-8.6, -8.6]


def test_clocks_without_a_zone_are_those_of_the_zone_asked_for(tmp_path):
    text = "id,time,lat,lon\na,2023-07-15 12:00:00,41,-8\n"
    lisbon = table(tmp_path / "t.csv", text, TraceColumns(time_zone="Europe/Lisbon"))
    assert lisbon.time_s[0] == table(tmp_path / "t.csv", text).time_s[0] - 3600
    mixed = table(tmp_path / "t.csv", text + "a,2023-07-15T12:00:00Z,41,-8\na,never,41,-8\n")
    assert mixed.time_s[0] == mixed.time_s[1]
    assert np.isnan(mixed.time_s[2])


def test_what_is_no_number_is_nan_and_the_rest_stays(tmp_path):
    traces = table(tmp_path / "t.csv", "id,time,lat,lon\na,1,41.1,-8.6\na,2,north,\na,,41.2,-8.7\n")
    assert np.isnan(traces.latitude_deg).tolist() == [False, True, False]
    assert np.isnan(traces.longitude_deg).tolist() == [False, True, False]
    assert np.isnan(traces.time_s).tolist() == [False, False, True]


def test_speed_heading_and_traveller(tmp_path):
    text = "id,time,lat,lon,speed_ms,bearing,driver\na,1,41,-8,10,90,ann\nb,1,41,-8,,,\n"
    traces = table(tmp_path / "t.csv", text)
    assert traces.speed_kmh[0] == 36.0
    assert np.isnan(traces.speed_kmh[1])
    assert traces.heading_deg[0] == 90.0
    assert list(traces.traveller) == ["ann", ""]
    assert table(tmp_path / "t.csv", text, TraceColumns(speed_unit="km/h")).speed_kmh[0] == 10.0


def test_points_in_any_order_in_a_small_table_and_only_together_in_a_large_one(tmp_path, monkeypatch):
    text = "id,time,lat,lon\na,1,41,-8\nb,1,42,-8\na,2,43,-8\n"
    traces = table(tmp_path / "t.csv", text)
    assert list(traces.trace_id) == ["a", "b"]
    assert traces.latitude_deg.tolist() == [41, 43, 42]
    monkeypatch.setattr(trace_files, "_WHOLE_BYTES", 10)
    with pytest.raises(InputFileError, match=r"'a' goes on after points of other traces.*Sort"):
        read(tmp_path / "t.csv")


def test_blocks_hold_whole_traces(tmp_path, monkeypatch):
    count = 1000
    row = np.repeat(np.arange(100), 10)
    pyarrow.parquet.write_table(
        pa.table({"id": row, "time": np.arange(count), "lat": np.full(count, 41.0), "lon": np.full(count, -8.0)}),
        tmp_path / "t.parquet",
    )
    monkeypatch.setattr(trace_files, "_ROWS", 64)
    monkeypatch.setattr(trace_files, "_WHOLE_ROWS", 10)
    blocks = list(read_trace_blocks(tmp_path / "t.parquet"))
    assert len(blocks) > 5
    assert [name for block in blocks for name in block.trace_id] == [str(k) for k in range(100)]
    assert all((np.diff(block.first) == 10).all() for block in blocks)
    assert np.concatenate([block.time_s for block in blocks]).tolist() == list(range(count))


def test_a_table_without_ids_is_one_trace(tmp_path):
    traces = table(tmp_path / "monday.csv", "lat,lon\n41,-8\n42,-8\n")
    assert list(traces.trace_id) == ["monday"]
    assert np.isnan(traces.time_s).all()


def test_what_is_written_is_read_back(tmp_path):
    first = np.array([0, 2, 3])
    traces = Traces(["a", "b"], first, np.array([1.0, 2, 3]), np.array([4.0, 5, 6]), NOON + np.arange(3.0),
                    speed_kmh=np.array([1.0, 2, 3]), traveller=["x", None], is_simulated=True)  # fmt: skip
    for name in ("t.csv", "t.parquet"):
        write_traces(tmp_path / name, traces)
        back = read(tmp_path / name)
        assert back.time_s.tolist() == traces.time_s.tolist()
        assert back.speed_kmh.tolist() == [1, 2, 3]
        assert back.is_simulated


def test_gpx(tmp_path):
    (tmp_path / "ride.gpx").write_text(GPX)
    traces = read(tmp_path / "ride.gpx")
    assert list(traces.trace_id) == ["ride/1", "ride/2"]
    assert np.diff(traces.first).tolist() == [2, 1]
    assert traces.time_s[:2].tolist() == [NOON, NOON + 10]
    assert traces.speed_kmh[0] == 36.0
    assert traces.heading_deg[0] == 90.0


def test_an_entity_bomb_is_refused_at_once(tmp_path):
    letters = "abcdefghijklmnopqrstuvwxyz"
    entities = "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">\n' for a, b in itertools.pairwise(letters))
    (tmp_path / "bomb.gpx").write_text(BOMB.format(entities=entities))
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputFileError, match=r"bomb\.gpx.*entities"):
        read(tmp_path / "bomb.gpx")
    assert time.perf_counter() - started < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_geojson_lines_and_points(tmp_path):
    line = {
        "type": "Feature",
        "properties": {"id": 7, "coordTimes": ["2023-11-15T12:00:00Z", "2023-11-15T12:00:05Z"]},
        "geometry": {"type": "LineString", "coordinates": [[-8.6, 41.1], [-8.5, 41.2]]},
    }
    points = [
        {
            "type": "Feature",
            "properties": {"trip_id": "p", "time": NOON + k, "heading": 10 * k},
            "geometry": {"type": "Point", "coordinates": [-8.0 - k, 41.0]},
        }
        for k in range(3)
    ]
    (tmp_path / "t.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [line, *points]}))
    traces = read(tmp_path / "t.geojson")
    assert list(traces.trace_id) == ["7", "p"]
    assert traces.latitude_deg.tolist() == [41.1, 41.2, 41.0, 41.0, 41.0]
    assert traces.longitude_deg.tolist() == [-8.6, -8.5, -8.0, -9.0, -10.0]
    assert traces.time_s[2:].tolist() == [NOON, NOON + 1, NOON + 2]


def test_geodataframes_of_points_and_lines():
    times = ["2023-11-15T12:00:00Z", "2023-11-15T12:00:05Z"]
    frame = geopandas.GeoDataFrame(
        {"trip_id": ["a", "a"], "time": times}, geometry=geopandas.points_from_xy([-8.6, -8.5], [41.1, 41.2]), crs=4326
    )
    traces = traces_from_geodataframe(frame.to_crs(3857))
    assert traces.latitude_deg == pytest.approx([41.1, 41.2])
    assert traces.time_s.tolist() == [NOON, NOON + 5]
    lines = geopandas.GeoDataFrame({"id": ["x"]}, geometry=[shapely.LineString([(-8, 41), (-7, 42)])], crs=4326)
    assert traces_from_geodataframe(lines).longitude_deg.tolist() == [-8, -7]
    with pytest.raises(MissingDataError, match="points or lines"):
        traces_from_geodataframe(geopandas.GeoDataFrame(geometry=[shapely.Point(0, 0).buffer(1)]))


def test_a_folder_is_all_of_its_files(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.gpx").write_text(GPX.replace('<trkseg><trkpt lat="41.3" lon="-8.4"/></trkseg>', ""))
    (tmp_path / "c.csv").write_text("lat,lon\n41,-8\n")
    (tmp_path / "notes.txt").write_text("nothing")
    assert list(read(tmp_path).trace_id) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.csv", b"", "empty"),
        ("t.csv", b"a,b\n1,2\n", "no column that looks like a latitude"),
        ("t.csv", b"lat,time\n1,2\n", "longitude"),
        ("t.csv", b"lat,lon\n1,2,3\n", "cannot be read"),
        ("t.parquet", b"PAR1nothing", "cannot be read"),
        ("t.gpx", b"<gpx><trk>", "no whole XML"),
        ("t.gpx", b"<gpx></gpx>", "no track"),
        ("t.gpx", b"\x00" * 100, "no whole XML"),
        ("t.geojson", b"{", "no JSON"),
        ("t.geojson", b"[" * 100_000, "no JSON"),
        ("t.geojson", b"[]", "no FeatureCollection"),
        ("t.geojson", b'{"type": "FeatureCollection", "features": []}', "no LineString"),
        ("t.txt", b"lat,lon\n", "traces are read from"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputFileError, match=words) as caught:
        read(tmp_path / name)
    assert name in str(caught.value)


def test_missing_files_folders_and_columns(tmp_path):
    with pytest.raises(InputFileError, match="no such file"):
        read(tmp_path / "t.csv")
    with pytest.raises(InputFileError, match="no file of traces"):
        read(tmp_path)
    with pytest.raises(InputFileError, match=r"'when'.*no such column.*lat, lon"):
        table(tmp_path / "t.csv", "lat,lon\n1,2\n", TraceColumns(time="when"))
    with pytest.raises(ConfigurationError, match="Porto"):
        TraceColumns(time_zone="Porto")
    with pytest.raises(ConfigurationError, match="knots"):
        TraceColumns(speed_unit="knots")


def test_departures_are_written_in_utc():
    assert iso_times(np.array([NOON, np.nan, 1e300])) == ["2023-11-15T12:00:00Z", None, None]
