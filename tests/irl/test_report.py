"""The page that explains a model: whole by itself, well formed, its figures those of `evaluate`."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import irl_oracles as naive
import numpy as np
import pytest
from regional_city import TASTE, make_city
from trodden import write_report
from trodden.core.config import parse_config
from trodden.core.errors import ConfigurationError, InputFileError, WrongNetworkError
from trodden.graphs.road_graph import Categories
from trodden.irl import plots
from trodden.irl.evaluation import evaluate
from trodden.irl.model import RegionSummary
from trodden.irl.plots import charts
from trodden.irl.report import maps
from trodden.irl.report.ablation import parse_ablation, read_json
from trodden.irl.report.corrections import corrections_of, num_uses
from trodden.irl.report.example_trips import choose_rows, example_trips
from trodden.irl.report.route_sections import headline
from trodden.irl.report.wording import NOTHING, interval, number, p_value, percent, points
from trodden.irl.rewards.building import reward_of
from trodden.irl.simulation import simulate
from trodden.irl.training import fit

EVIL = "<script>alert(1)</script>"
PNG = b"\x89PNG\r\n\x1a\n"
VOID = {"meta", "link", "br", "img", "hr", "input", "source"}
WHEN = datetime(2031, 5, 6, 7, 8, tzinfo=UTC)


def _ablation_row(data: str, reward: str, horizon: int | str, gap: float) -> dict[str, object]:
    return {
        "data": data,
        "reward": reward,
        "horizon": horizon,
        "exact": 0.4 + gap,
        "exact_interval": [0.38 + gap, 0.42 + gap],
        "iou": 0.7,
        "nll": None if horizon == 0 else 4.5,
        "seconds": 61.0,
        "gap": gap,
        "gap_interval": [gap - 0.01, gap + 0.01],
    }


ABLATION = [
    _ablation_row(data, reward, horizon, gap)
    for data in ("here", EVIL)
    for (reward, gap), horizon in itertools.product((("linear", 0.0), ("MLP + sparse", 0.05)), (0, "infinity"))
]


class Page(HTMLParser):
    """Elements, their attributes and texts of a page that must be well nested."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], "elements that are not closed"

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        self.texts.append(data)
        if self.open and {"td", "th"} & set(self.open[-2:]):
            self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.texts))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def check(page: Page) -> Page:
    """Nothing is loaded from elsewhere, nothing runs, everything has a text in its place."""
    assert not page.of("script")
    assert not {"iframe", "object", "embed", "link", "base", "form"} & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in {"src", "href", "xlink:href", "srcset", "data", "action", "poster"}:
                is_link = tag == "a" and (value or "").startswith("https://www.openstreetmap.org/")
                assert is_link or (value or "").startswith(("#", "data:image/png;base64,")), (tag, name, value)
            if name == "style":
                assert "url(" not in (value or "").replace("url(#", "")
    identifiers = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    anchors = {attributes["href"] for attributes in page.of("a") if (attributes.get("href") or "").startswith("#")}
    assert {f"#{one}" for one in identifiers} >= anchors
    uses = {attributes["xlink:href"] for attributes in page.of("use")}
    assert {f"#{one}" for one in identifiers} >= uses
    drawings = [attributes for attributes in page.of("div") if attributes.get("class") == "drawing"]
    assert len(drawings) == len(page.of("svg"))
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in drawings)
    assert all("scope" in attributes for attributes in page.of("th"))
    assert page.of("html")[0]["lang"] == "en"
    return page


def named_city():
    """A city whose streets, classes, feature and source are named by an enemy."""
    city = make_city(6, 6)
    codes = np.arange(city.graph.num_edges) % 2
    attributes = dataclasses.replace(
        city.attributes,
        name=Categories(codes, (EVIL, "Rua <b>das</b> Flores & Filhos")),
        road_class=Categories(codes, ("residential", EVIL)),
        extra={**city.attributes.extra, EVIL: (codes * 1.0)},
    )
    return naive.rebuilt(dataclasses.replace(city, attributes=attributes, report={"source": f"/home/someone/{EVIL}"}))


@pytest.fixture(scope="module")
def city():
    return named_city()


@pytest.fixture(scope="module")
def routes(city):
    made = simulate(city, 260, taste=TASTE, seed=3, num_destinations=12)
    names = [f"{EVIL}{row}" for row in range(len(made))]
    return dataclasses.replace(made, route_id=names).split_by_route(0.4, 0)


def learned(network, routes, **document):
    settings = {"reward": {"features": [*TASTE, EVIL]}, "baselines": {"budget": 5}, **document}
    return fit(network, routes, parse_config(settings, where="test"))


@pytest.fixture(scope="module")
def plain(city, routes):
    return learned(city, routes[0])


@pytest.fixture(scope="module")
def corrected(city, routes):
    reward = {"features": list(TASTE), "corrections": ["edge", "turn"]}
    training = {"max_iterations": 8, "validate_every": 2, "patience": 2}
    return learned(city, routes[0], reward=reward, training=training)


@pytest.fixture(scope="module")
def scored(plain, routes):
    return evaluate(plain, routes[1])


@pytest.fixture(scope="module")
def pages(plain, corrected, routes, tmp_path_factory):
    """Pages of a plain reward and of one with corrections, the second with all that a page can have."""
    folder = tmp_path_factory.mktemp("pages")
    errors = [{"kind": EVIL, "osm_way": 12, "expected": 1.25, "where": {"a": EVIL}}, {"statistic": -3, "is_new": True}]
    one = write_report(plain, routes[1], folder / "plain.html", written=WHEN)
    two = write_report(
        corrected,
        routes[1],
        folder / "corrected.html",
        train=routes[0],
        ablation=parse_ablation({"rows": ABLATION}, where="test"),
        contradictions=errors,
        title=f"Title {EVIL}",
        command=f"trodden report {EVIL}",
        written=WHEN,
    )
    return {"plain": one.read_text(encoding="utf-8"), "corrected": two.read_text(encoding="utf-8")}


@pytest.mark.parametrize("name", ["plain", "corrected"])
def test_a_page_is_whole_by_itself_and_harmless(pages, name):
    page = check(Page(pages[name]))
    assert EVIL not in pages[name]
    assert EVIL in page.text
    assert "/home/someone" not in page.text
    assert "2031-05-06 07:08 UTC" in page.text
    assert "No traveller took them" in page.text
    assert len(pages[name]) < 2e6


def test_its_figures_are_those_of_evaluate(pages, plain, scored):
    page, result = Page(pages["plain"]), scored
    rows = [row for row in page.rows if row and row[0] in {"learned", "fastest + penalties", "fastest", "shortest"}]
    assert len(rows) == 8
    for scores, gaps, shown in (
        (result.models, result.comparisons, rows[:4]),
        (result.unseen, result.unseen_comparisons, rows[4:]),
    ):
        for (name, one), row in zip(scores.items(), shown, strict=True):
            assert row[1] == percent(one.exact)
            assert row[6] == number(one.iou)
            if name == "learned":
                assert row[7] == number(one.nll_per_route)
                assert row[8] == number(one.nll_per_turn)
            else:
                assert row[3] == points(gaps[name].difference)
                assert row[5] == p_value(gaps[name].p_value)
    document = page.text[page.text.index("as JSON") + len("as JSON") :]
    assert json.JSONDecoder().raw_decode(document)[0] == json.loads(json.dumps(result.to_json()))
    assert headline(result) in page.text.replace(" % ", "\N{NO-BREAK SPACE}% ") or headline(result) in "".join(
        page.texts
    )
    for one in plain.coefficients:
        row = next(row for row in page.rows if row[0].startswith(one.name) and number(one.value, 4) in row)
        assert number(one.standard_error, 4) in row


def test_the_same_report_has_the_same_bytes(plain, routes, pages, scored, tmp_path):
    again = write_report(plain, routes[1], tmp_path / "again.html", written=WHEN, result=scored)
    assert again.read_text(encoding="utf-8") == pages["plain"]


def test_curves_mark_what_was_chosen_and_a_plain_reward_says_why_it_has_none(pages, corrected):
    assert "a concave likelihood with a single optimum" in Page(pages["plain"]).text
    page = Page(pages["corrected"])
    assert "chosen" in page.text
    assert f"chosen iteration {corrected.summary['iterations']}" in json.dumps(page.of("div"))
    assert "under a penalty and beside other parts" in page.text


def test_corrections_are_listed_from_the_largest_on(pages, corrected, routes):
    page, found = Page(pages["corrected"]), corrections_of(corrected)
    reward, members = reward_of(corrected)
    for one in found:
        assert np.array_equal(one.value, reward.split(members[0])[one.of])
        part = reward.part(one.of)
        assert np.array_equal(one.at, part.supported)
        worst = int(one.at[np.argmax(np.abs(one.value))])
        uses = num_uses(routes[0], one.of)
        turn, row = routes[0].turns()
        used = turn if one.of == "turn" else corrected.network.turns.to_edge[turn]
        assert uses[worst] == len(set(row[used == worst].tolist())) > 0
        edge = worst if one.of == "edge" else int(corrected.network.turns.from_edge[worst])
        rows = [row for row in page.rows if row and row[0] == "1" and str(corrected.network.graph.edge_id[edge]) in row]
        assert [row[-1] for row in rows] == [f"{uses[worst]:,}"]


def test_example_trips_follow_the_stated_rule(plain, routes, scored):
    held_out, matched = routes[1].for_ending("arrival"), scored.matched
    chosen = choose_rows(held_out, matched)
    length = np.diff(held_out.first)
    assert sum(count for _, count in chosen.values()) == len(held_out)
    for trip, (kind, (row, count)) in zip(example_trips(plain, held_out, matched), chosen.items(), strict=True):
        alike = (matched["learned"] == matched["learned"][row]) & (matched["fastest"] == matched["fastest"][row])
        assert alike.sum() == count
        assert np.sort(length[alike])[(count - 1) // 2] == length[row]
        assert trip.kind == kind
        assert np.array_equal(trip.travelled, held_out.route(row))
        assert (trip.learned_iou == 1.0) >= bool(matched["learned"][row])
        assert np.array_equal(trip.learned, trip.travelled) == matched["learned"][row]
        assert np.array_equal(trip.fastest, trip.travelled) == matched["fastest"][row]


def test_costs_relative_to_the_fastest_are_ratios_of_means(plain):
    ratio, turns = maps.relative_costs(plain), plain.network.turns
    length = plain.network.edge_length_m()
    by_hand = np.full(len(ratio), np.nan)
    for edge in range(len(ratio)):
        onto = np.flatnonzero((turns.to_edge == edge) & ~turns.is_uturn)
        onto = onto if len(onto) else np.flatnonzero(turns.to_edge == edge)
        by_hand[edge] = plain.turn_cost[onto].mean() / plain.baseline_costs["fastest"][onto].mean()
    np.testing.assert_allclose(ratio / ratio[0], by_hand / by_hand[0])
    above = length[ratio > 1].sum()
    assert length[ratio >= 1].sum() >= 0.5 * length.sum() >= above


def test_no_more_edges_are_drawn_than_allowed_and_the_rest_is_counted(plain, monkeypatch):
    every = np.ones(plain.network.graph.num_edges, bool)
    few = maps.drawn_edges(plain.network, every, limit=10)
    assert len(few) == 10
    assert plain.network.edge_length_m()[few].min() >= np.sort(plain.network.edge_length_m())[-10]
    monkeypatch.setattr(maps.drawn_edges, "__kwdefaults__", {"limit": 10})
    svg, left_out = maps.relative_cost_svg(plain)
    assert left_out == plain.network.graph.num_edges - 10
    assert svg.startswith("<svg")


def without_coordinates(model, *sets):
    bare = dataclasses.replace(model.network.graph, latitude_deg=None, longitude_deg=None)
    network = dataclasses.replace(model.network, graph=bare)
    return model.replace(network=network), *(dataclasses.replace(one, network=network) for one in sets)


def test_without_coordinates_there_are_no_maps_and_it_says_so(corrected, routes, scored, tmp_path):
    model, held_out = without_coordinates(corrected, routes[1])
    written = write_report(model, held_out, tmp_path / "bare.html", result=scored)
    page = check(Page(written.read_text(encoding="utf-8")))
    assert page.text.count("this network has no coordinates") == 3
    assert "Trips by who predicts them" in page.text


def test_horizon_0_has_no_likelihood_and_says_so(city, routes, tmp_path):
    model = learned(city, routes[0], planner={"horizon": 0}, baselines={"budget": 0}, training={"max_iterations": 5})
    page = check(Page(write_report(model, routes[1], tmp_path / "margin.html").read_text(encoding="utf-8")))
    assert "horizon 0 has no likelihood" in page.text
    assert "the fastest route" in page.text
    assert "fastest + penalties" not in {row[0] for row in page.rows if row}


def test_a_model_of_regions_shows_each_regions_coefficients(plain, routes, scored, tmp_path):
    """One trained for real is in tests/cli/test_regions.py."""
    others = tuple(dataclasses.replace(one, value=one.value - 0.125) for one in plain.coefficients)
    regions = (RegionSummary(0, 70, 100, plain.coefficients), RegionSummary(1, 50, 56, others, EVIL))
    kept = ("num_routes", "total_weight", "skipped", "routes_source", "network_source", "log_likelihood", "seconds")
    summary = {name: plain.summary[name] for name in kept}
    summary |= {"penalty": 10.0, "num_crossing": 7, "log_likelihood_per_route": -3.0, "is_converged": True}
    model = plain.replace(regions=regions, coefficients=(), summary=summary)
    page = check(Page(write_report(model, routes[1], tmp_path / "r.html", result=scored).read_text(encoding="utf-8")))
    for one in regions:
        row = next(row for row in page.rows if row[:3] == [str(one.region), f"{one.num_edges}", f"{one.num_routes}"])
        assert row[3:] == [number(coefficient.value) for coefficient in one.coefficients]
    assert "7 of 156 routes cross a border between regions" in page.text


def test_the_page_warns_of_routes_that_were_learned_from(plain, routes, scored, tmp_path):
    page = Page(write_report(plain, routes[0], tmp_path / "same.html").read_text(encoding="utf-8"))
    assert "These are the routes that the model was learned from" in page.text
    assert "LEARNED FROM" in page.text
    both = routes[1].take(np.arange(5))
    written = write_report(plain, routes[1], tmp_path / "overlap.html", train=both, result=scored)
    other = Page(written.read_text(encoding="utf-8"))
    assert f"5 of {len(routes[1])} held-out routes stand in the training file too" in other.text
    assert "not the one that the model was learned from" in other.text


def test_real_routes_are_not_called_simulated(plain, routes, scored, tmp_path):
    real = dataclasses.replace(scored, is_simulated=False)
    model = plain.replace(is_simulated=False, summary={**plain.summary, "routes_source": "routes.csv"})
    held_out = dataclasses.replace(routes[1], is_simulated=False, source="others.csv")
    text = write_report(model, held_out, tmp_path / "real.html", result=real).read_text(encoding="utf-8")
    assert "imulated" not in Page(text).text.replace("simulated-", "").replace('"is_simulated"', "")
    half = write_report(plain, held_out, tmp_path / "half.html", result=scored).read_text(encoding="utf-8")
    assert "The routes that it was learned from were drawn by a program" in Page(half).text


def test_routes_of_another_network_are_refused(plain, routes, tmp_path):
    other = dataclasses.replace(routes[1], network=dataclasses.replace(plain.network, checksum="f" * 64))
    with pytest.raises(WrongNetworkError):
        write_report(plain, routes[1], tmp_path / "page.html", train=other)
    assert list(tmp_path.iterdir()) == []


def test_the_headline_says_gain_loss_or_neither(scored):
    result = scored
    gap = result.comparisons["fastest_penalised"]

    def said(difference, bounds, chance):
        other = dataclasses.replace(gap, difference=difference, interval=bounds, p_value=chance)
        return headline(dataclasses.replace(result, comparisons={**result.comparisons, "fastest_penalised": other}))

    assert "a gain of 5.0 points" in said(0.05, (0.01, 0.09), 0.001)
    assert "a loss of 5.0 points" in said(-0.05, (-0.09, -0.01), 0.001)
    assert "not told apart from none" in said(0.05, (-0.01, 0.09), 0.2)
    assert "not told apart from none" in said(0.05, (0.001, 0.09), 0.06)


def test_the_ablation_is_drawn_by_itself_too(tmp_path):
    rows = parse_ablation(ABLATION, where="test")
    assert plots.draw_ablation_png(rows, tmp_path / "a.png", title="$x").read_bytes().startswith(PNG)
    svg = plots.chart_svg(lambda axes: charts.draw_ablation(axes, rows[:4]), size=(5, 2), name="a")
    page = Page(svg)
    assert {"linear, H = 0", "MLP + sparse, H = ∞", "45.0"} <= set(page.texts)
    with pytest.raises(ValueError, match="without rows"):
        plots.draw_ablation_png((), tmp_path / "b.png")


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({}, "rows"),
        ({"rows": []}, "not empty"),
        ([3], "row 1: is no JSON object"),
        ([{"data": "a", "reward": "linear", "horizon": 0}], "row 1: lacks exact"),
        ([{**ABLATION[0], "exact": "much"}], "exact is 'much', not a number"),
        ([{**ABLATION[0], "gap_interval": [1]}], "not a pair"),
    ],
)
def test_a_bad_ablation_is_named(document, said):
    with pytest.raises(ConfigurationError, match=said):
        parse_ablation(document, where="test")


def test_json_counts_by_its_last_line_where_a_table_stands_above(tmp_path):
    file = tmp_path / "a.json"
    file.write_text('reward  exact\nlinear  0.4\n{"rows": []}\n', encoding="utf-8")
    assert read_json(file, "an ablation") == {"rows": []}
    file.write_text("nothing", encoding="utf-8")
    for path in (file, tmp_path / "missing.json"):
        with pytest.raises(InputFileError):
            read_json(path, "an ablation")


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (number(-0.0004), "0.000"),
        (number(-1.5, 1), "−1.5"),
        (number(None), NOTHING),
        (number(float("nan")), NOTHING),
        (points(0.0004), "0.0"),
        (points(-0.012), "−1.2"),
        (interval((-1.0, 2.0), 1), "[−1.0, 2.0]"),
        (p_value(0.0004), "0.0004"),
        (p_value(0.0), "< 0.0001"),
        (p_value(0.2), "0.20"),
    ],
)
def test_numbers_read_well(found, wanted):
    assert found == wanted
