"""Configurations that look right: numbers that are none, types that would be bent."""

from __future__ import annotations

import pytest
from trodden.core.config import Config, parse_config, read_config
from trodden.core.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[reward]\nmlp_penalty = inf", r"\[reward.mlp_penalty\].*finite"),
        ("[reward]\nedge_penalty = nan", r"\[reward.edge_penalty\]"),
        ("[regions]\npenalty = inf", r"\[regions.penalty"),
        ("[training]\nmax_iterations = true", r"\[training\] max_iterations = True is of another type"),
        ('[training]\nmax_iterations = "7"', r"\[training\] max_iterations = '7' is of another type"),
        ("[reward]\nmlp_width = false", r"\[reward\] mlp_width = False"),
        ("[training]\nmax_iterations = " + "9" * 10_000, "cannot be read as TOML"),
        ("a = " + "[" * 100_000, "cannot be read as TOML"),
    ],
)
def test_what_is_no_number_is_named(tmp_path, text, words):
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=words) as caught:
        read_config(tmp_path / "c.toml")
    assert len(str(caught.value)) < 1000


def test_what_is_written_is_read_back(tmp_path):
    config = parse_config({"regions": {"count": 3, "penalty": "infinity"}, "planner": {"preset": "birl"}}, where="here")
    (tmp_path / "c.toml").write_text(config.to_toml())
    assert read_config(tmp_path / "c.toml") == config
    assert Config.model_validate(config) == config
