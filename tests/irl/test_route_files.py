"""Route files: what is read, what is ignored, and what is refused with its place named."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from trodden.core.errors import InputFileError
from trodden.irl.route_files import RouteTable, read_route_table, write_route_table


def csv(folder, text, *, encoding="utf-8"):
    path = folder / "routes.csv"
    path.write_bytes(text.encode(encoding))
    return path


def parquet(folder, **columns):
    path = folder / "routes.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def ids(path):
    return [row.tolist() for row in read_route_table(path).sequences(path)]


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
        write_route_table(tmp_path / "routes.xlsx", table)


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
        write_route_table(tmp_path / name, table)
        back = read_route_table(tmp_path / name)
        assert (list(back.route_id), list(back.text), back.is_nodes) == (["a", "b"], ["1 2", ""], True)
        assert (list(back.departure), back.weight.tolist()) == ([None, "2024-05-01"], [0.1, 1 / 3])
        assert back.is_simulated
        assert back.traveller is None
    named = RouteTable(["a", "b"], ["1", "2"], False, [None, None], np.ones(2), False, ["ann", None])
    for name in ("named.csv", "named.parquet"):
        write_route_table(tmp_path / name, named)
        assert read_route_table(tmp_path / name).traveller == ["ann", None]
    assert not list(tmp_path.rglob("*.partial"))
