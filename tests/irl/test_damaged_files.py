"""What fuzzing found in routes and traces: damage that was read, or that ended in an untyped error."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from trodden.core.errors import InputFileError
from trodden.irl.route_files import RouteTable, open_parquet, read_route_blocks, write_route_blocks
from trodden.irl.texts import Texts
from trodden.irl.trace_cleaning import clean
from trodden.irl.trace_files import read_trace_blocks, write_traces
from trodden.irl.traces import READING_FAULTS, Traces, joined_traces

BOUNDS = (np.array([40.9, -8.7]), np.array([41.3, -8.3]))


def traces(path, content) -> Traces:
    if isinstance(content, pa.Table):
        pyarrow.parquet.write_table(content, path)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return joined_traces(list(read_trace_blocks(path)))


def line(**changes):
    places = [[-8.6, 41.1], [-8.5, 41.1], [-8.4, 41.1]]
    feature = {
        "type": "Feature",
        "properties": {"id": "a", "coordTimes": [0, 10, 20]},
        "geometry": {"type": "LineString", "coordinates": places},
    }
    return {**feature, **changes}


def collection(*features) -> str:
    return json.dumps({"type": "FeatureCollection", "features": list(features)})


# -------------------------------------------------------------------------------------------------------- traces


@pytest.mark.parametrize("column", ["lat", "time", "id"])
def test_a_column_given_twice_is_named(tmp_path, column):
    names = [column if name == "speed" else name for name in ("id", "time", "lat", "lon", "speed")]
    with pytest.raises(InputFileError, match=f"column '{column}': there is more than one"):
        traces(tmp_path / "t.csv", ",".join(names) + "\na,1,41,-8,5\n")


def test_a_column_of_no_use_may_come_twice(tmp_path):
    assert traces(tmp_path / "t.csv", "lat,lon,note,note\n41,-8,a,b\n").num_points == 1


def test_numbers_are_what_files_write_not_what_python_reads(tmp_path):
    found = traces(tmp_path / "t.csv", "lat,lon\n41,1_0\n41,\u0661\u0662\n41,x\n41, -8 \n")
    assert np.isnan(found.longitude_deg).tolist() == [True, True, True, False]


@pytest.mark.parametrize("kind", [pa.duration("us"), pa.timestamp("s"), pa.date64(), pa.time64("us")])
def test_columns_of_times_are_no_coordinates(tmp_path, kind):
    longitude = pa.array([0, 86_400_000], pa.int64()).cast(kind) if kind != pa.time64("us") else pa.array([0, 1], kind)
    found = traces(tmp_path / "t.parquet", pa.table({"lat": [41.0, 41.1], "lon": longitude}))
    assert np.isnan(found.longitude_deg).all()
    assert clean(found, BOUNDS).points["not_a_number"] == 2


def test_an_open_quotation_does_not_swallow_the_rest(tmp_path):
    with pytest.raises(InputFileError, match="quotation that never ends"):
        traces(tmp_path / "t.csv", 'lat,lon,note\n41,-8,"open\n41,-8,a\n41,-8,b\n')


def test_features_that_are_nothing_are_counted(tmp_path):
    odd = [line(geometry=None), line(geometry={"type": "Polygon", "coordinates": []}), 7, None]
    odd.append(line(geometry={"type": "MultiLineString", "coordinates": [None, [[-8.6, 41.1], [-8.5, 41.1]]]}))
    found = traces(tmp_path / "t.geojson", collection(line(), *odd))
    assert found.faults["no_geometry"] == 5
    assert set(found.faults) <= set(READING_FAULTS)
    assert found.take(np.array([0])).faults == found.faults


def test_times_that_do_not_fit_their_line_are_counted(tmp_path):
    found = traces(tmp_path / "t.geojson", collection(line(properties={"id": "a", "coordTimes": [0, 10]})))
    assert found.faults == {"times_do_not_fit": 1}
    assert np.isnan(found.time_s).all()
    odd = {"type": "MultiLineString", "coordinates": [[[-8.6, 41.1]], [[-8.5, 41.1]]]}
    found = traces(tmp_path / "t.geojson", collection(line(properties={"times": [[5], True]}, geometry=odd)))
    assert found.time_s[0] == 5


def test_an_object_with_a_name_twice_is_refused(tmp_path):
    text = collection(line()).replace('"coordinates"', '"coordinates": [[1, 2]], "coordinates"')
    with pytest.raises(InputFileError, match="an object has a name twice"):
        traces(tmp_path / "t.geojson", text)


def test_halves_of_characters_are_replaced(tmp_path):
    feature = line(properties={"id": "\ud800", "coordTimes": ["\udfff", 1, 2]})
    point = line(geometry={"type": "Point", "coordinates": [-8.6, "\ud800"]}, properties={"traveller": "\ud800"})
    found = traces(tmp_path / "t.geojson", collection(feature, point))
    assert found.trace_id[0] == "?"
    assert np.isnan(found.latitude_deg[-1])


def flips(path, column_bytes: bytes):
    """The file with a bit flipped inside the first place where these bytes stand."""
    content = bytearray(path.read_bytes())
    at = bytes(content).find(column_bytes)
    assert at > 0
    content[at + 2] ^= 1
    path.write_bytes(bytes(content))


def test_pages_of_our_own_parquet_have_checksums(tmp_path):
    latitude = np.linspace(41.1, 41.2, 50).round(7)
    made = Traces(
        Texts.of(["a"]), np.array([0, 50]), latitude, latitude - 50, np.arange(50.0), source="x", is_simulated=False
    )
    write_traces(tmp_path / "t.parquet", made)
    assert read_one(tmp_path / "t.parquet") == 50
    flips(tmp_path / "t.parquet", latitude[:1].tobytes()[2:])
    with pytest.raises(InputFileError, match="checksum"):
        read_one(tmp_path / "t.parquet")


def read_one(path) -> int:
    return joined_traces(list(read_trace_blocks(path))).num_points


# -------------------------------------------------------------------------------------------------------- routes


def refused(path) -> InputFileError:
    def read() -> None:
        for block in read_route_blocks(path):
            block.sequences(path)

    with pytest.raises(InputFileError) as caught:
        read()
    return caught.value


@pytest.mark.parametrize("word", ["0x10", "-0X1f", "9" * 100_000, "\u0661", "1_0"])
def test_an_id_that_only_some_would_read_names_its_row(tmp_path, word):
    (tmp_path / "r.csv").write_text(f"links\n1 2\n1 {word}\n", encoding="utf-8")
    error = refused(tmp_path / "r.csv")
    assert (error.row, error.column) == (2, "links")
    assert len(str(error)) < 500


def test_a_weight_that_only_python_reads_names_its_row(tmp_path):
    (tmp_path / "r.csv").write_text("links,weight\n1 2,1_0\n")
    assert "'1_0' is not a number" in refused(tmp_path / "r.csv").problem


@pytest.mark.parametrize("rows", ['1 2,"open\n3 4,lost\n5 6,lost\n', '1 2,a\n3 4,"cut sho'])
def test_an_open_quotation_does_not_swallow_routes(tmp_path, rows):
    (tmp_path / "r.csv").write_text("links,note\n" + rows)
    assert "quotation that never ends" in str(refused(tmp_path / "r.csv"))


def test_a_flipped_bit_in_a_route_file_is_noticed(tmp_path):
    texts = Texts.of([" ".join(map(str, range(k, k + 5))) for k in range(40)])
    names = Texts.of([f"name-{k}" for k in range(40)])
    table = RouteTable(names, texts, False, Texts.nothing(40), np.linspace(1.1, 2.2, 40), False)
    write_route_blocks(tmp_path / "r.parquet", [table])
    assert len(next(iter(read_route_blocks(tmp_path / "r.parquet"))).weight) == 40
    flips(tmp_path / "r.parquet", b"name-0")
    assert "checksum" in str(refused(tmp_path / "r.parquet"))


# ---------------------------------------------------------------------------------------------- pages of Parquet


def odd_tables(path):
    """Tables that every reader of Parquet reads: all types, encodings and sizes of pages."""
    count = 3000
    table = pa.table(
        {
            "name": [f"text {k} " * (k % 5) for k in range(count)],
            "long": ["x" * 5000] * count,
            "list": [[k] * (k % 4) for k in range(count)],
            "gaps": [None if k % 3 else k * 0.5 for k in range(count)],
            "nothing": pa.nulls(count, pa.string()),
            "flag": [k % 2 == 0 for k in range(count)],
        }
    )
    for version in ("1.0", "2.0"):
        for dictionary in (True, False):
            for compression in ("none", "snappy", "zstd"):
                options = {"data_page_version": version, "use_dictionary": dictionary, "compression": compression}
                pyarrow.parquet.write_table(table, path, **options, data_page_size=1000, row_group_size=1100)
                yield table
                pyarrow.parquet.write_table(table, path, **options, write_page_index=True, write_page_checksum=True)
                yield table
    pyarrow.parquet.write_table(table.slice(0, 0), path)
    yield table.slice(0, 0)


def test_sound_pages_are_found_whatever_wrote_them(tmp_path):
    path = tmp_path / "t.parquet"
    for table in odd_tables(path):
        assert open_parquet(path).metadata.num_rows == len(table)


@pytest.mark.parametrize("cut", [1, 2, 3, 17])
@pytest.mark.parametrize("at", [0, 40])
def test_pages_that_are_not_where_the_footer_says(tmp_path, cut, at):
    """Arrow can read such a file for ever."""
    path = tmp_path / "t.parquet"
    table = pa.table(
        {"lat": np.linspace(41, 42, 36), "lon": np.linspace(-8, -7, 36), "id": [f"t{k}" for k in range(36)]}
    )
    pyarrow.parquet.write_table(table, path)
    content = path.read_bytes()
    for damaged in (content[:at] + content[at + cut :], content[:at] + b"\x15" * cut + content[at:]):
        path.write_bytes(damaged)
        with pytest.raises(InputFileError, match=r"t\.parquet.*(does not begin with PAR1|pages hold|no page at byte)"):
            open_parquet(path)


def test_a_footer_that_would_end_the_process(tmp_path):
    """Each bit of a footer with statistics of sizes: Arrow's own view of some of these aborts."""
    path = tmp_path / "t.parquet"
    pyarrow.parquet.write_table(pa.table({"links": ["1 2", "3"], "route_id": ["a", None]}), path)
    content = path.read_bytes()
    length = int.from_bytes(content[-8:-4], "little")
    for place in range(len(content) - 8 - length, len(content) - 8, 7):
        for bit in (0, 3, 6):
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            path.write_bytes(bytes(damaged))
            with contextlib.suppress(InputFileError):
                list(read_route_blocks(path))
