import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.patience import LOST, MOST_FAILED, MOST_MACHINES, OTHER_SOFTWARE, Patience, is_lost, is_machines
from trainables.checks import InputError
from trainables.software import check_software


@given(st.lists(st.integers(1, 50)), st.integers(0, 20))
def test_only_ground_that_was_never_reached_is_further(steps: list[int], before: int) -> None:
    patience = Patience({"a": before})
    furthest = before
    for step in steps:
        assert patience.reported("a", step, 0.0) == (step > furthest)
        furthest = max(furthest, step)


def test_a_machine_costs_no_attempt_but_not_for_ever() -> None:
    patience = Patience({})
    assert all(patience.lost_machine("a") for _ in range(MOST_MACHINES))
    assert not patience.lost_machine("a")
    assert patience.lost_machine("b")
    patience.reported("a", 1, 0.0)
    assert patience.lost_machine("a")


def test_failures_in_a_row_are_too_many_and_reports_between_them_are_not() -> None:
    patience = Patience({f"t{number}": 3 for number in range(30)})
    for number in range(MOST_FAILED - 1):
        assert not patience.failed(f"t{number}")
    patience.reported("t29", 6, 0.0)
    for number in range(MOST_FAILED - 1):
        assert not patience.failed(f"t{number + 9}")
    assert patience.failed("t20")


def test_failures_of_trials_that_never_reported_add_up_whatever_others_report() -> None:
    patience, stops = Patience({}), []
    for number in range(MOST_FAILED):
        stops.append(patience.failed(f"t{number}"))
        patience.reported("other", number + 1, 0.0)
    assert stops == [False] * (MOST_FAILED - 1) + [True]


def test_who_is_silent_for_too_long_is_told_once() -> None:
    patience = Patience({}, hang_seconds=100.0)
    patience.begun("a", 0.0)
    patience.begun("b", 0.0)
    for now in range(0, 101, 10):
        assert patience.silent(now) == {}
    patience.reported("b", 1, 100.0)
    assert patience.silent(105.0) == {"a": 105.0}
    assert patience.silent(110.0) == {}
    patience.ended("b")
    assert all(patience.silent(now) == {} for now in range(110, 400, 10))


def test_the_time_in_which_the_driver_stood_still_is_nobodys_silence() -> None:
    patience = Patience({}, hang_seconds=100.0)
    patience.begun("a", 0.0)
    assert patience.silent(5.0) == {}
    assert patience.silent(1000.0) == {}
    assert all(patience.silent(now) == {} for now in range(1000, 1096, 5))  # silent for 5 s before, and for these
    assert patience.silent(1100.0) == {"a": 105.0}


def test_the_words_of_a_lost_machine_are_told_from_a_trials_own() -> None:
    assert all(is_lost(f"RayActorError: ... {words} ...") and is_machines(words) for words in LOST)
    assert not is_machines("ValueError: no")
    with pytest.raises(InputError) as refused:
        check_software({"code": "another"})
    assert OTHER_SOFTWARE in str(refused.value)
    assert is_machines(str(refused.value))
    assert not is_lost(str(refused.value))
