"""One Ray for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import ray
from trodden.distributed.cluster import ray_session


@pytest.fixture(scope="session")
def four_cpus() -> Iterator[int]:
    """A Ray with four CPUs on this machine, whatever the machine has; it yields that number."""
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        with ray_session("local", None) as workers:
            yield workers
    finally:
        ray.shutdown()
