from pathlib import Path

import pandas as pd

from analysis.frames import load
from analysis.tradeoff import settings, table


def test_settings_average_finished_seeds_and_count_the_rest(fake_study: Path) -> None:
    rows = settings(load(fake_study).trials)
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
    frame = table(settings(load(fake_study).trials))
    assert frame.loc[1].to_dict() == {
        "family": "beta", "beta": "4", "capacity_max": "", "recon": "124.5 (124.0, 125.0)",
        "kl": "10.0 (10.0, 10.0)", "mig_calibrated": "0.050 (0.040, 0.060)", "verdict": "fine", "seeds": "2",
    }  # fmt: skip
    assert frame.loc[2, "seeds"] == "1 of 2, 1 diverged"
    assert max(map(len, frame.to_string(index=False).splitlines())) <= 125


def test_nothing_gives_nothing() -> None:
    assert settings(pd.DataFrame()) == []
