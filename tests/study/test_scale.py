"""A study on paper: closed forms, laws, and the table of docs/cluster.md."""

import dataclasses
import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from study import plan, scale
from study.prices import CLUSTER
from study.protocols import PAPER
from study.scale import Machine, on_paper
from trainables.config import Evaluation, TrialConfig

ROOT = Path(__file__).parents[2]
FLAT = Evaluation(report_every=1000, report_rows=2, probe_rows=2)
"""Scoring that is next to nothing, so that updates alone count."""
TRIAL = TrialConfig(objective="beta_vae", steps=100_000)

counts = st.tuples(st.integers(1, 20_000), st.integers(1, 64), st.sampled_from([1, 2, 4, 8, 16, 32, 64]))


def test_one_pack_of_equal_trials_by_hand() -> None:
    # 4 lanes make 400 updates/s: 100 each, 1,000 s a trial; 8 trials are two rounds.
    found = on_paper(8, 1, 4, 400.0, TRIAL, FLAT)
    assert found.slots == 4
    assert found.hours == pytest.approx(2000 / 3600, rel=1e-3)
    assert found.hours_at_worst == pytest.approx((2000 + 4 * 1.9) / 3600, rel=1e-3)
    assert found.tail == 0
    assert found.rows_per_second == pytest.approx(4 / 10)  # each reports every 10 s
    assert found.checkpoints_per_second == pytest.approx(4 / 60)
    assert found.bytes_per_second == pytest.approx(4 / 60 * 6.1e6 + 4 / 1000 * 3.5e6, rel=1e-3)
    assert found.store_bytes == pytest.approx(8 * (3.5e6 + 100 * 1050) + 4 * 6.1e6)
    assert found.driver_bytes == pytest.approx(1e9 + 8 * 35_600 + 800 * 2500)
    assert found.machine_bytes == pytest.approx(4e9 + 4 * 260e6)
    assert found.loads["trials"] == pytest.approx(4 / 1000 * 0.09, rel=1e-3)
    assert found.loads["a machine's cores"] == pytest.approx(4 / 1000 * 20 / 4, rel=1e-3)


def test_the_last_round_is_as_long_with_one_trial() -> None:
    found = on_paper(9, 1, 4, 400.0, TRIAL, FLAT)
    assert found.hours_at_worst == pytest.approx((3000 + 4 * 1.9) / 3600, rel=1e-3)
    assert found.tail == pytest.approx(0.75 * 1000 / 3007.6, rel=1e-3)  # three of four lanes of one round


def test_checkpoints_wait_for_a_report() -> None:
    # A report every 40 s: the first one after a minute is the second.
    assert on_paper(8, 1, 4, 100.0, TRIAL, FLAT).checkpoints_per_second == pytest.approx(4 / 80)


@given(counts, st.floats(100, 1e5))
def test_laws(count: tuple[int, int, int], updates: float) -> None:
    trials, gpus, lanes = count
    found = on_paper(trials, gpus, lanes, updates, TRIAL, FLAT)
    assert found.hours <= found.hours_at_worst
    assert 0 <= found.tail < 1
    lane_hours = math.ceil(trials / found.slots) * plan.updates_of(TRIAL, FLAT) * lanes / updates / 3600  # a plain twin
    assert found.hours_at_worst >= lane_hours * (1 - 1e-9)
    assert found.loads[found.bottleneck] == max(found.loads.values())
    more = on_paper(trials + 1, gpus, lanes, updates, TRIAL, FLAT)
    assert (more.hours, more.store_bytes, more.driver_bytes) > (found.hours, found.store_bytes, found.driver_bytes)
    assert found.loads["reports"] * plan.MAX_ROWS_PER_SECOND == pytest.approx(found.rows_per_second)


def test_reports_are_thinned_as_the_plan_thins_them() -> None:
    wide = on_paper(12_600, 64, 32, 3000.0, PAPER.trial, PAPER.evaluation)
    every = plan.report_sparingly(PAPER.evaluation, 64 * 32, plan.ASSUMED_STEPS_PER_SECOND["gpu"]).report_every
    assert every == 3000
    assert wide.rows_per_second == pytest.approx(64 * 3000 / every)


def test_sixty_four_lanes_are_too_many_for_our_machine() -> None:
    assert on_paper(100, 1, 64, 3000.0, TRIAL, FLAT).loads["a machine's memory"] > 1
    assert on_paper(100, 1, 32, 3000.0, TRIAL, FLAT).loads["a machine's memory"] < 1
    roomy = Machine(memory=32 * 2**30)
    assert on_paper(100, 1, 64, 3000.0, TRIAL, FLAT, roomy).loads["a machine's memory"] < 1


def test_machines_are_those_of_the_cluster() -> None:
    cluster = yaml.safe_load(CLUSTER.read_text())
    head, gpu = (cluster["available_node_types"][name] for name in ("head", "gpu_spot"))
    assert gpu["resources"] == {"CPU": Machine.cores, "GPU": 1}
    assert head["node_config"]["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] * 2**30 == Machine.disk
    types = (head["node_config"]["InstanceType"], gpu["node_config"]["InstanceType"])
    assert types == ("m7i.xlarge", "g6.xlarge")  # 16 GB each


def test_constants_are_those_that_the_documents_measured() -> None:
    told = (ROOT / "docs" / "searches.md").read_text()
    assert f"| 10,000 | {scale.DRIVER_SECONDS:.3f} s | {scale.DRIVER_BYTES / 1000} kB |" in told
    assert dataclasses.is_dataclass(scale.Scale)


def test_the_documents_table_is_what_the_code_says() -> None:
    told = (ROOT / "docs" / "cluster.md").read_text()
    assert "\n".join(scale.table()) in told
