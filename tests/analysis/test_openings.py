import math

import pandas as pd
import pytest

from analysis.openings import Opening, before, first_two, latents_of, openings, resolved

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
    assert first_two(found) == (1, 2)


def test_fewer_than_two_that_stay_open_are_no_first_two() -> None:
    assert first_two(openings(reports(info_0=[0.0, 0.3], info_1=[0.0, 0.0]), CAPACITY)) is None
    assert first_two([]) is None


def test_a_third_within_one_report_of_the_second_is_a_tie() -> None:
    early, late = [0.3, 0.5, 0.9, 1.0], [0.0, 0.0, 0.0, 1.0]
    tied = openings(reports(info_0=early, info_1=[0.0, 0.0, 0.3, 1.0], info_2=[0.0, 0.1, 0.4, 1.0]), CAPACITY)
    assert (first_two(tied), resolved(tied)) == (None, False)
    first_and_second = openings(reports(info_0=early, info_1=[0.4, 0.5, 0.6, 0.7], info_2=late), CAPACITY)
    assert (first_two(first_and_second), resolved(first_and_second)) == ((1, 0), True)  # which of the two, none asks
    shut = openings(reports(info_0=early, info_1=[0.0, 0.3, 0.0, 0.0], info_2=[0.0, 0.3, 0.4, 1.0]), CAPACITY)
    assert (first_two(shut), resolved(shut)) == ((0, 2), True)  # one that shut again competes no more


@pytest.mark.parametrize(("gap", "expected"), [(99, True), (100, False), (101, False)])
def test_ties_are_openings_closer_than_one_report(gap: float, expected: bool) -> None:
    one, other = (Opening(j, step, 0.0, 0, False, interval=100.0) for j, step in enumerate((500.0, 500.0 + gap)))
    assert one.tied(other) is other.tied(one) is expected


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


def test_openings_by_kl_read_kl() -> None:
    rows = reports(info_0=[0.0, 0.0], kl_0=[0.1, 0.5])
    assert openings(rows, CAPACITY) == []
    (opening,) = openings(rows, CAPACITY, measure="kl")
    assert opening.step == pytest.approx(125)


def at(step: float, interval: float = 10) -> Opening:
    return Opening(0, step, math.nan, 0, False, interval)


def test_the_matrix_counts_who_is_first_with_ties_and_censoring() -> None:
    orders = [
        {"x": at(100), "y": at(105), "scale": at(300), "shape": None, "turn": None},
        {"x": at(100), "y": at(150), "scale": None, "shape": None, "turn": at(400)},
        {"x": at(200), "y": at(150), "scale": at(300), "shape": at(290, 20), "turn": None},
    ]
    found = before(orders)
    assert found["x", "y"] == (1, 1, 3)
    assert found["y", "x"] == (1, 1, 3)
    assert found["x", "scale"] == (3, 0, 3)  # one never opened: it comes later, if at all
    assert found["scale", "x"] == (0, 0, 3)
    assert found["scale", "shape"] == (1, 2, 3)  # a tie by the wider interval, and neither
    assert found["turn", "shape"] == (1, 1, 3)
    for (i, j), (first, tied, seeds) in found.items():
        assert first + tied + found[j, i][0] == seeds
        assert found[j, i][1] == tied
    assert before([]) == {}
