import math

import pandas as pd
import pytest

from analysis.openings import first_two, latents_of, openings

CAPACITY = {"family": "capacity", "capacity_start": 0.0, "capacity_max": 10.0, "ramp_steps": 400}
BETA = CAPACITY | {"family": "beta"}


def reports(**latents: list[float]) -> pd.DataFrame:
    length = len(next(iter(latents.values())))
    return pd.DataFrame({"step": [100 * (k + 1) for k in range(length)], **latents})


def test_a_latent_opens_where_the_line_between_reports_crosses() -> None:
    (opening,) = openings(reports(info_0=[0.1, 0.5, 0.9, 1.0]), CAPACITY)
    assert opening.step == pytest.approx(100 + 100 * 0.1 / 0.4)
    assert opening.capacity == pytest.approx(opening.step / 40)
    assert (opening.reopened, opening.closed) == (0, False)


def test_before_the_first_report_a_latent_is_shut() -> None:
    (opening,) = openings(reports(info_0=[0.8, 1.0]), CAPACITY)
    assert opening.step == pytest.approx(25)


def test_capacity_counts_from_its_start() -> None:
    trial = CAPACITY | {"capacity_start": 2.0}
    (opening,) = openings(reports(info_0=[0.0, 0.4]), trial)
    assert opening.capacity == pytest.approx(2 + 8 * 150 / 400)


def test_the_last_crossing_counts_and_others_are_told() -> None:
    (opening,) = openings(reports(info_0=[0.3, 0.1, 0.3, 0.3]), CAPACITY)
    assert opening.step == pytest.approx(250)
    assert opening.reopened == 1


def test_a_crossing_after_the_ramp_is_no_opening_but_is_counted() -> None:
    late = reports(info_0=[0.3, 0.3, 0.3, 0.1, 0.3], info_1=[0.0, 0.0, 0.0, 0.0, 0.9])
    (opening,) = openings(late, CAPACITY)
    assert (opening.latent, opening.step < 100, opening.reopened, opening.closed) == (0, True, 1, False)


def test_a_latent_that_shuts_again_is_not_among_the_first_two() -> None:
    found = openings(reports(info_0=[0.3, 0.1, 0.1], info_1=[0.0, 0.3, 0.5], info_2=[0.0, 0.0, 0.5]), CAPACITY)
    assert [opening.latent for opening in found] == [0, 1, 2]
    assert [opening.closed for opening in found] == [True, False, False]
    assert first_two(found) == [1, 2]


def test_never_is_left_out_and_nothing_gives_nothing() -> None:
    assert openings(reports(info_0=[0.1, 0.19]), CAPACITY) == []
    assert openings(reports(info_0=[]), CAPACITY) == []


@pytest.mark.parametrize("trial", [BETA, CAPACITY | {"ramp_steps": 1}], ids=["fixed beta", "no ramp"])
def test_without_a_ramp_all_of_training_counts_and_no_capacity_is_told(trial: dict) -> None:
    (opening,) = openings(reports(info_0=[0.0] * 9 + [0.4]), trial)
    assert opening.step == pytest.approx(950)
    assert math.isnan(opening.capacity)


def test_latents_are_ordered_by_number_and_sums_are_none() -> None:
    assert latents_of(["info_10", "info_sum", "info_2", "kl_3"]) == [2, 10]
