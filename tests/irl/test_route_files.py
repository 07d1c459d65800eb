"""Route files: what is read, what is ignored, and what is refused with its place named."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from trodden.core.errors import InputFileError
from trodden.irl.route_files import RouteTable, id_texts, read_route_blocks, write_route_blocks
from trodden.irl.texts import Texts


def csv(folder, text, *, encoding="utf-8"):
    path = folder / "routes.csv"
    path.write_bytes(text.encode(encoding))
    return path


def parquet(folder, **columns):
    path = folder / "routes.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def read_route_table(path):
    (table,) = read_route_blocks(path)
    return table


def ids_of(table, path):
    flat, first = table.sequences(path)
    return [flat[a:b].tolist() for a, b in pairwise(first)]


def ids(path):
    return ids_of(read_route_table(path), path)


def refused(path):
    with pytest.raises(InputFileError) as caught:
        read_route_table(path).sequences(path)
    assert str(path) in str(caught.value)
    return caught.value


# ------------------------------------------------------------------------------------------------ refused


def test_a_missing_file(tmp_path):
    assert "no such file" in refused(tmp_path / "nothing.csv").problem
    (tmp_path / "folder.csv").mkdir()
    assert "no such file" in refused(tmp_path / "folder.csv").problem


def test_a_wrong_suffix(tmp_path):
    (tmp_path / "routes.txt").write_text("links\n1 2\n")
    assert "'.txt'" in refused(tmp_path / "routes.txt").problem
    table = RouteTable(["a"], ["1 2"], False, [None], np.ones(1), False)
    with pytest.raises(InputFileError, match=r"written as \.csv or \.parquet"):
        write_route_blocks(tmp_path / "routes.xlsx", [table])


@pytest.mark.parametrize("name", ["routes.csv", "routes.parquet"])
def test_an_empty_file(tmp_path, name):
    (tmp_path / name).touch()
    error = refused(tmp_path / name)
    assert "empty" in error.problem
    assert "links" in error.remedy


def test_files_of_another_kind(tmp_path):
    page = tmp_path / "routes.parquet"
    page.write_text("<html>not found</html>")
    assert "cannot be read" in refused(page).problem
    whole = parquet(tmp_path, links=["1 2"] * 500).read_bytes()
    page.write_bytes(whole[: len(whole) // 2])
    assert "cannot be read" in refused(page).problem
    (tmp_path / "routes.csv").write_bytes(whole)
    assert "cannot be read" in refused(tmp_path / "routes.csv").problem
    latin = csv(tmp_path, "links,straße\n1 2,3\n", encoding="latin-1")
    assert "cannot be read" in refused(latin).problem
    ragged = csv(tmp_path, "links,weight\n1 2,3\n1 2,3,4\n")
    assert "cannot be read" in refused(ragged).problem


def test_no_column_of_ids_lists_those_there_are(tmp_path):
    error = refused(csv(tmp_path, "route_id,edges\n1,2 3\n"))
    assert "neither a column links nor nodes (it has route_id, edges)" in error.problem


def test_a_column_given_twice(tmp_path):
    error = refused(csv(tmp_path, "links,weight,links\n1 2,1,3 4\n"))
    assert "more than one column links" in error.problem
    assert ids(csv(tmp_path, "note,links,note\nx,1 2,y\n")) == [[1, 2]]


@pytest.mark.parametrize("word", ["x7", "1.0", "1e3", "0x10", "9223372036854775808", "²", "--1", "1,5", "None"])
@pytest.mark.parametrize("column", ["links", "nodes"])
def test_an_id_that_is_not_an_integer_names_its_row(tmp_path, word, column):
    error = refused(csv(tmp_path, f'{column}\n"1 2"\n"1 {word} {word}"\n"bad too"\n'))
    assert (error.row, error.column) == (2, column)
    assert repr(word) in error.problem


def test_a_missing_id_inside_a_list_names_its_row(tmp_path):
    path = parquet(tmp_path, links=pa.array([[1, 2], [3, None]], pa.list_(pa.int64())))
    assert refused(path).row == 2


def test_a_weight_that_is_not_a_number_names_its_row(tmp_path):
    error = refused(csv(tmp_path, "links,weight\n1 2,3\n1 2,heavy\n"))
    assert (error.row, error.column) == (2, "weight")
    assert "'heavy'" in error.problem
    error = refused(parquet(tmp_path, links=["1 2", "3 4"], weight=[[1.0], [2.0]]))
    assert (error.row, error.column) == (1, "weight")


def test_a_column_of_an_impossible_type(tmp_path):
    assert "cannot be read" in refused(parquet(tmp_path, links=[{"a": 1}, {"a": 2}])).problem


# ------------------------------------------------------------------------------------------------ read


def test_blank_cells(tmp_path):
    path = csv(tmp_path, "route_id,links,departure,weight\n,1 2,,\nb,,2024-05-01T08:00:00Z,2.5\nc,  ,,\n")
    table = read_route_table(path)
    assert list(table.route_id) == ["1", "b", "c"]
    assert list(table.departure) == [None, "2024-05-01T08:00:00Z", None]
    assert table.weight.tolist() == [1.0, 2.5, 1.0]
    assert ids(path) == [[1, 2], [], []]
    path = parquet(tmp_path, links=["1 2", None], weight=pa.array([None, 2.0], pa.float64()))
    assert ids(path) == [[1, 2], []]
    assert read_route_table(path).weight.tolist() == [1.0, 2.0]


def test_other_columns_and_the_order_of_columns_do_not_matter(tmp_path):
    table = read_route_table(csv(tmp_path, "driver,weight,links,speed\nana,2,5 6,fast\n"))
    assert (list(table.route_id), table.weight.tolist(), list(table.text)) == (["1"], [2.0], ["5 6"])
    assert not table.is_nodes
    assert read_route_table(csv(tmp_path, "nodes\n5 6\n")).is_nodes


@pytest.mark.parametrize("kind", [pa.list_(pa.int64()), pa.large_list(pa.int64()), pa.list_(pa.int32())])
def test_lists_in_parquet(tmp_path, kind):
    assert ids(parquet(tmp_path, links=pa.array([[1, 2, 3], [], None, [4]], kind))) == [[1, 2, 3], [], [], [4]]


def test_categories_in_parquet(tmp_path):
    assert ids(parquet(tmp_path, links=pa.array(["1 2", "3", "1 2"]).dictionary_encode())) == [[1, 2], [3], [1, 2]]


def test_a_byte_order_mark_and_quotes(tmp_path):
    text = '"route_id","links","weight"\r\n"one, ""quoted""","1 2 3",1\r\n"two","4",2\r\n'
    path = csv(tmp_path, text, encoding="utf-8-sig")
    table = read_route_table(path)
    assert list(table.route_id) == ['one, "quoted"', "two"]
    assert table.weight.tolist() == [1.0, 2.0]
    assert ids(path) == [[1, 2, 3], [4]]
    assert ids(csv(tmp_path, "links\n1 2\n", encoding="utf-8-sig")) == [[1, 2]]


def test_names_stay_as_they_are_written(tmp_path):
    path = csv(tmp_path, "route_id,links\n007,1 2\nNA,3\nnull,4\n", encoding="utf-8-sig")
    assert list(read_route_table(path).route_id) == ["007", "NA", "null"]


def test_long_ids_keep_every_digit(tmp_path):
    large = [9223372036854775807, -9223372036854775807, 9007199254740993]
    assert ids(csv(tmp_path, "links\n" + "\n".join(map(str, large)) + "\n")) == [[n] for n in large]


def test_any_white_space_separates(tmp_path):
    assert ids(csv(tmp_path, 'links,weight\n"  1\t2   3 ",1\n')) == [[1, 2, 3]]


def test_a_table_survives_both_formats_and_is_written_whole(tmp_path):
    table = RouteTable(["a", "b"], ["1 2", ""], True, [None, "2024-05-01"], np.array([0.1, 1 / 3]), True)
    for name in ("deep/er/routes.csv", "routes.parquet"):
        write_route_blocks(tmp_path / name, [table])
        back = read_route_table(tmp_path / name)
        assert (list(back.route_id), list(back.text), back.is_nodes) == (["a", "b"], ["1 2", ""], True)
        assert (list(back.departure), back.weight.tolist()) == ([None, "2024-05-01"], [0.1, 1 / 3])
        assert back.is_simulated
        assert back.traveller is None
    named = RouteTable(["a", "b"], ["1", "2"], False, [None, None], np.ones(2), False, ["ann", None])
    for name in ("named.csv", "named.parquet"):
        write_route_blocks(tmp_path / name, [named])
        assert read_route_table(tmp_path / name).traveller == ["ann", None]
    assert not list(tmp_path.rglob("*.partial"))


# ------------------------------------------------------------------------------------------------ in blocks


MANY = 23
COLUMNS = {
    "route_id": [None if row % 5 == 0 else f"r{row}" for row in range(MANY)],
    "links": [" ".join(map(str, range(row % 4))) for row in range(MANY)],
    "weight": [None if row % 3 == 0 else 0.5 * row for row in range(MANY)],
    "departure": [None if row % 2 else "2024-05-01" for row in range(MANY)],
    "traveller": [None if row < 12 else "ann" for row in range(MANY)],
    "is_simulated": [row == 20 for row in range(MANY)],
}


@pytest.mark.parametrize("kind", ["parquet", "csv"])
@pytest.mark.parametrize(("rows", "group"), [(1, 23), (4, 5), (5, 4), (7, 23), (100, 3)])
def test_blocks_say_what_one_reading_says(tmp_path, kind, rows, group):
    path = tmp_path / f"routes.{kind}"
    if kind == "csv":
        pacsv.write_csv(pa.table(COLUMNS), path)
    else:
        pq.write_table(pa.table(COLUMNS), path, row_group_size=group)
        assert pq.ParquetFile(path).num_row_groups == -(-MANY // group)
    at_once = tmp_path / "at_once.parquet"
    pq.write_table(pa.table(COLUMNS), at_once)
    whole, blocks = read_route_table(at_once), list(read_route_blocks(path, rows=rows))
    assert max(len(block.text) for block in blocks) <= rows
    assert [block.first_row for block in blocks] == np.cumsum([0, *(len(b.text) for b in blocks)])[:-1].tolist()
    assert list(whole.route_id) == [name or str(row + 1) for row, name in enumerate(COLUMNS["route_id"])]
    for field in ("route_id", "text", "departure", "traveller", "weight"):
        assert [one for block in blocks for one in getattr(block, field)] == list(getattr(whole, field)), field
    assert [one for block in blocks for one in ids_of(block, path)] == [list(range(row % 4)) for row in range(MANY)]
    assert any(block.is_simulated for block in blocks)


@pytest.mark.parametrize("column", ["links", "weight"])
def test_a_fault_in_a_later_block_names_its_row_in_the_file(tmp_path, column):
    columns = {"links": ["1 2"] * 9, "weight": ["1"] * 9}
    columns[column][7] = "seven"
    path = tmp_path / "routes.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=2)
    with pytest.raises(InputFileError) as caught:
        _ = [block.sequences(path) for block in read_route_blocks(path, rows=3)]
    assert (caught.value.row, caught.value.column) == (8, column)


@pytest.mark.parametrize("name", ["routes.csv", "routes.parquet"])
def test_a_file_without_routes_is_one_empty_block(tmp_path, name):
    write_route_blocks(tmp_path / name, [RouteTable([], [], False, [], np.zeros(0), False)])
    assert ids(tmp_path / name) == []


def test_blocks_are_written_one_after_the_other(tmp_path):
    tables = [
        RouteTable([f"{n}"], [f"{n} 7"], False, ["now" if n else None], np.array([n + 1.0]), False) for n in range(3)
    ]
    for name in ("routes.csv", "routes.parquet"):
        write_route_blocks(tmp_path / name, iter(tables))
        blocks = list(read_route_blocks(tmp_path / name))
        assert [one for block in blocks for one in ids_of(block, name)] == [[0, 7], [1, 7], [2, 7]]
        assert [one for block in blocks for one in block.departure] == [None, "now", "now"]
    assert pq.ParquetFile(tmp_path / "routes.parquet").num_row_groups == 3


def test_ids_become_text_and_numbers_again():
    flat, first = np.array([9, 9, -(2**62), 5, 6]), np.array([2, 3, 3, 5])
    assert id_texts(flat[2:], first) == [str(-(2**62)), "", "5 6"]


def test_a_column_of_texts_is_a_sequence():
    column = Texts.of(["a", None, "b"])
    assert (column, column[1:], column[-1]) == (("a", None, "b"), [None, "b"], "b")
    assert column.take(np.array([2, 0])) == ["b", "a"]
    assert Texts.joined([column, Texts.nothing(2)]) == ["a", None, "b", None, None]
    assert column != ("a", None)
    assert column.index("b") == 2
    assert "c" not in column
    assert Texts.nothing(10**6).nbytes == 0
    with pytest.raises(IndexError):
        column[3]
