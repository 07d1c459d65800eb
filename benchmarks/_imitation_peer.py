"""Run by benchmarks/peers.py in an environment that has `imitation`: MCE-IRL's backward and forward pass.

Reads an .npz with one process per destination, writes seconds, values and expected visits. Imports nothing of ours.
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np
from imitation.algorithms.mce_irl import mce_occupancy_measures, mce_partition_fh
from seals.base_envs import TabularModelPOMDP


def main() -> None:
    given, answer = np.load(sys.argv[1], allow_pickle=False), sys.argv[2]
    seconds, values, visits = [], [], []
    for d in range(len(given["reward"])):
        successor = given["successor"][d]  # [S, A], the state that an action leads to
        transition = np.zeros((*successor.shape, len(successor)))
        np.put_along_axis(transition, successor[:, :, None], 1.0, axis=2)
        environment = TabularModelPOMDP(
            transition_matrix=transition,
            observation_matrix=np.eye(len(successor)),
            reward_matrix=given["reward"][d],
            horizon=int(given["horizon"]),
            initial_state_dist=given["start"][d],
        )
        started = time.perf_counter()
        value, _, policy = mce_partition_fh(environment)
        _, total = mce_occupancy_measures(environment, pi=policy)
        seconds.append(time.perf_counter() - started)
        values.append(value[0])
        visits.append(total)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    np.savez(answer, seconds=seconds, values=values, visits=visits, peak_mb=peak)


if __name__ == "__main__":
    main()
