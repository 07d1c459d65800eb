"""Constants of no machine, for tests of plans."""

from __future__ import annotations

from trodden.irl.calibration import Calibration, Curve


def power(factor, exponent):
    return Curve((1.0, 2.0), (factor, factor * 2.0**exponent))


FOUND = Calibration(
    measured_on="a test",
    num_edges=1000,
    tau=25.0,
    turns_per_edge=2.0,
    nodes_per_edge=0.4,
    edges_per_km=8.0,
    fresh_s=power(1e-4, 1.5),
    kept_s=power(5e-5, 1.0),
    states=power(300.0, 1.0),
    turns_per_state=1.8,
    plain=1.6,
    compress_s=3e-6,
    small_states=0.4,
    small_turns=2.2,
    parts_per_turn=3.0,
    sum_s=4e-9,
    factor_s=power(1e-7, 1.3),
    solve_s=power(1e-9, 1.3),
    factor_bytes=power(20.0, 1.2),
    map_s=2e-9,
    feature_s=1e-9,
    prepare_s=5e-8,
    load_s_per_byte=2e-9,
    route_s=5e-7,
    route_file_bytes=10.0,
    route_peak_bytes=33.0,
    copy_gb_s=10.0,
)
