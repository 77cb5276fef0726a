from pathlib import Path

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from analysis.frames import load
from analysis.statistics import over_seeds
from analysis.tradeoff.settings import Setting, by_setting, front, table
from study.config import StudyConfig
from tests.analysis.conftest import write_study


def test_settings_average_finished_seeds_and_count_the_rest(fake_study: Path) -> None:
    rows = by_setting(load(fake_study).trials)
    assert [(row.family, row.fields) for row in rows] == [
        ("beta", {"beta": 1.0}), ("beta", {"beta": 4.0}), ("beta", {"beta": 16.0}),
        ("capacity", {"capacity_max": 6.0}), ("capacity", {"capacity_max": 12.0}), ("capacity", {"capacity_max": 18.0}),
    ]  # fmt: skip
    assert rows[1].estimates["recon"].values == (124.0, 125.0)
    assert rows[1].estimates["mig_calibrated"].mean == 0.05
    assert rows[2].statuses == {"finished": 1, "diverged": 1}
    assert rows[2].estimates["recon"].values == (196.0,)
    assert rows[5].statuses == {"finished": 1, "failed": 1}
    assert rows[3].verdicts == {"not informative": 2}


def test_the_table_says_what_the_settings_say(fake_study: Path) -> None:
    frame = table(by_setting(load(fake_study).trials))
    assert frame.loc[1].to_dict() == {
        "family": "beta", "beta": "4", "capacity_max": "", "recon": "124.5 (124.0, 125.0)",
        "kl": "10.0 (10.0, 10.0)", "mig_calibrated": "0.050 (0.040, 0.060)", "verdict": "fine", "seeds": "2",
    }  # fmt: skip
    assert frame.loc[2, "seeds"] == "1 of 2, 1 diverged"
    assert max(map(len, frame.to_string(index=False).splitlines())) <= 125


def test_nothing_gives_nothing() -> None:
    assert by_setting(pd.DataFrame()) == []


def setting(recon: float, score: float) -> Setting:
    estimates = {"recon": over_seeds([recon]), "mig_calibrated": over_seeds([score])}
    return Setting(f"{recon} {score}", "beta", {"beta": recon}, estimates, {}, {})


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12))
def test_the_front_is_what_nothing_beats_on_both_targets(values: list[tuple[int, int]]) -> None:
    rows = [setting(recon, score) for recon, score in values]
    beaten = [
        any((a <= recon and b >= score) and (a, b) != (recon, score) for a, b in values) for recon, score in values
    ]
    best = front(rows)
    assert sorted(row.id for row in best) == sorted(row.id for row, lost in zip(rows, beaten, strict=True) if not lost)
    assert [row.estimates["recon"].mean for row in best] == sorted(row.estimates["recon"].mean for row in best)


def test_a_setting_without_a_score_is_on_no_front() -> None:
    assert front([setting(1.0, float("nan"))]) == []


def test_a_setting_is_called_by_its_fields() -> None:
    fields = {"beta": 4.0, "gamma": 100.0}
    assert Setting("a", "beta", fields, {}, {}, {}).label == "β = 4, gamma = 100"
    assert Setting("a", "my.loss:a", {}, {}, {}, {}).label == "my.loss:a"


def test_a_field_that_is_not_set_is_in_no_label(tmp_path: Path) -> None:
    path = write_study(tmp_path / "headline-laptop", lambda config: "finished", StudyConfig("headline", seeds=1))
    labels = {row.label for row in by_setting(load(path).trials)}
    assert {"β = 4", "β = 4, beta_start = 64, ramp = 1500"} <= labels
    assert len(labels) == 12
