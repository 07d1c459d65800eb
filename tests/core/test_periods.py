"""Periods of the day and of the week, and departures in them."""

from __future__ import annotations

from datetime import UTC, datetime, time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trodden.core.config import parse_config
from trodden.core.errors import ConfigurationError
from trodden.core.periods import parse_departure, parse_periods


def test_spans_of_the_day() -> None:
    periods = parse_periods({"peak": "07:00-10:00, 16:00-19:00", "off": "rest"})
    times = ("06:59", "07:00", "09:59", "10:00", "16:30")
    at = {text: periods.at(None, int(text[:2]) * 60 + int(text[3:])) for text in times}
    assert at == {"06:59": "off", "07:00": "peak", "09:59": "peak", "10:00": "off", "16:30": "peak"}
    assert not periods.needs_day


def test_spans_of_the_week_and_over_midnight() -> None:
    periods = parse_periods({"work": "Mon-Fri 07:00-10:00,16:00-19:00", "night": "Fri-Sat 22:00-04:00", "off": "REST"})
    assert periods.needs_day
    assert [periods.at(day, 8 * 60) for day in range(7)] == ["work"] * 5 + ["off"] * 2
    assert [periods.at(day, 23 * 60) for day in range(7)] == ["off"] * 4 + ["night"] * 2 + ["off"]
    assert [periods.at(day, 3 * 60) for day in range(7)] == ["off"] * 5 + ["night"] * 2, "the day after"
    whole = parse_periods({"all": "00:00-24:00"})
    assert whole.at(3, 23 * 60 + 59) == "all"
    around = parse_periods({"weekend": "Sat-Mon 00:00-24:00", "week": "rest"})
    assert [around.at(day, 0) for day in range(7)] == ["weekend", *["week"] * 4, "weekend", "weekend"]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 24), min_size=2, max_size=6, unique=True))
def test_a_minute_is_in_a_period_where_a_span_says_so(hours: list[int]) -> None:
    hours = sorted(hours[: len(hours) // 2 * 2])
    spans = list(zip(hours[::2], hours[1::2], strict=True))
    periods = parse_periods({"on": ",".join(f"{begin:02d}:00-{end:02d}:00" for begin, end in spans)})
    for hour in range(24):
        want = "on" if any(begin <= hour < end for begin, end in spans) else None
        assert periods.at(None, hour * 60 + 30) == want


@pytest.mark.parametrize(
    ("spans", "problem"),
    [
        ({"a": "7-9"}, "no span"),
        ({"a": "07:00-07:00"}, "within a day"),
        ({"a": "07:00-25:00"}, "within a day"),
        ({"a": "07:61-08:00"}, "within a day"),
        ({"a": "Xyz 07:00-08:00"}, "no day"),
        ({"a": "07:00-09:00", "b": "08:59-10:00"}, "share some minutes"),
        ({"a": "rest", "b": "rest"}, "both the rest"),
        ({"a": "00:00-24:00", "b": "rest"}, "no minute"),
        ({"a b": "07:00-09:00"}, "a name is"),
    ],
)
def test_periods_that_are_none(spans: dict[str, str], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        parse_config({"context": {"periods": spans}}, where="a test")


@pytest.mark.parametrize(
    ("settings_", "problem"),
    [
        ({"time_zone": "Mars/Olympus", "group": "who"}, "no time zone"),
        ({"by_period": ["x"], "group": "who"}, "needs periods"),
        ({"group": "who", "penalty": -1}, "penalty"),
        ({"groups": "who"}, "groups"),
    ],
)
def test_settings_that_are_none(settings_: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        parse_config({"context": settings_}, where="a test")


@pytest.mark.parametrize(
    "document",
    [
        {"reward": {"corrections": ["edge"]}},
        {"reward": {"mlp_width": 4}},
        {"reward": {"members": 3}},
        {"planner": {"horizon": 3}},
        {"planner": {"solver": "sweeps"}},
        {"regions": {"count": 2}},
    ],
)
def test_what_contexts_cannot_be_trained_with(document: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=r"\[context\]"):
        parse_config({**document, "context": {"group": "who"}}, where="a test")


@pytest.mark.parametrize(
    ("departure", "zone", "found"),
    [
        ("08:30", "", (None, 510)),
        ("8:30", "", (None, 510)),
        ("08:30:59", "", (None, 510)),
        ("2024-05-03T08:30", "", (4, 510)),
        ("2024-05-03 08:30:00", "Europe/Lisbon", (4, 510)),
        ("2024-05-03T08:30:00Z", "Europe/Lisbon", (4, 570)),
        ("2024-01-05T08:30:00Z", "Europe/Lisbon", (4, 510)),
        ("2024-05-03T23:30:00Z", "Asia/Tokyo", (5, 510)),
        ("2024-05-03T23:30:00-07:00", "America/Los_Angeles", (4, 1410)),
        (time(8, 30), "", (None, 510)),
        (datetime(2024, 5, 3, 8, 30), "", (4, 510)),
        (datetime(2024, 5, 3, 8, 30, tzinfo=UTC), "Europe/Lisbon", (4, 570)),
    ],
)
def test_departures(departure: object, zone: str, found: tuple[int | None, int]) -> None:
    assert parse_departure(departure, zone) == found  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("departure", "problem"),
    [
        ("", "no time"),
        ("noon", "no time"),
        ("25:00", "no time"),
        ("2024-13-01T08:00", "no time"),
        ("1714725000", "no time"),
        ("2024-05-03", "no time"),
        ("2024-05-03T08:30:00Z", "time_zone"),
        (time(8, 30, tzinfo=UTC), "time_zone"),
    ],
)
def test_departures_that_are_none(departure: object, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        parse_departure(departure)  # type: ignore[arg-type]
