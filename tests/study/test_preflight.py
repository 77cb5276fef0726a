import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray

from study import preflight
from trainables.checks import InputError


def test_provenance_names_code_versions_hardware_and_price() -> None:
    found = preflight.provenance(["study/run.py", "--seeds", "3"], "about 3 min")
    assert set(found) == {"commit", "versions", "hardware", "command", "predicted"}
    assert found["versions"]["ray"] == ray.__version__
    assert found["command"] == "study/run.py --seeds 3"


def test_a_machine_without_git_has_an_unknown_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*words: object, **options: object) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", missing)
    assert preflight.provenance([], "")["commit"] == "unknown"


def test_gpus_are_counted_by_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight.shutil, "which", lambda name: None)
    assert preflight.gpus() == 0
    listed = "GPU 0: NVIDIA A (UUID: x)\nGPU 1: NVIDIA A (UUID: y)\n"
    monkeypatch.setattr(preflight.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(subprocess, "run", lambda *words, **options: SimpleNamespace(stdout=listed))
    assert preflight.gpus() == 2


def test_the_disk_is_checked_where_the_store_will_be(tmp_path: Path) -> None:
    preflight.check_disk(tmp_path / "not" / "yet" / "there", 1)
    with pytest.raises(preflight.StoreError, match=r"the plan needs 1,000,000,000,000 MB and .* free some"):
        preflight.check_disk(tmp_path / "not" / "yet", 10**18)


def test_the_address_of_a_real_cluster_passes(local_ray: None) -> None:
    preflight.check_address(ray.get_runtime_context().gcs_address)
    preflight.check_address("auto")
    preflight.check_address(None)


def test_more_trials_than_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 1_000, "SC_PHYS_PAGES": 2_100_000}.get)  # 2.1 GB
    preflight.check_memory(3, packed=False)
    preflight.check_memory(8, packed=True)
    with pytest.raises(InputError, match=r"4 trials at a time need about 2\.8 GB .* has 2\.1 GB; give --concurrency 3"):
        preflight.check_memory(4, packed=False)
    with pytest.raises(InputError, match="give --concurrency 8"):
        preflight.check_memory(9, packed=True)
