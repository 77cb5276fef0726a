import pytest

from study.futility import REPORTS, Futility
from trainables.config import TrialConfig

CAPACITY = TrialConfig(ramp_steps=100, steps=200)


def see(verdicts: str, config: TrialConfig = CAPACITY, every: int = 10) -> bool:
    """Whether a trial ends futile; `-` for not informative, `+` for any other verdict, a letter a report."""
    futility, names = Futility(), {"-": "not informative", "+": "fine"}
    for number, verdict in enumerate(verdicts, start=1):
        futility.see(config, {"step": number * every, "verdict": names[verdict]})
    return futility.is_futile(config.key())


@pytest.mark.parametrize(
    ("verdicts", "futile"),
    [("---", True), ("--", False), ("--+-", False), ("--+---", True), ("---+++", True), ("+", False), ("", False)],
)
def test_three_in_a_row_are_futile_and_stay_so(verdicts: str, futile: bool) -> None:
    assert REPORTS == 3
    assert see(verdicts) is futile


def test_only_reports_inside_the_ramp_count() -> None:
    assert see("--------++", every=10)
    assert not see("++++++++----", every=10)  # two of them at steps 90 and 100
    assert see("+++++++---", every=10)


def test_a_report_made_again_counts_once() -> None:
    futility = Futility()
    for step in (10, 20, 20, 10, 20):
        assert not futility.see(CAPACITY, {"step": step, "verdict": "not informative"})
    assert futility.see(CAPACITY, {"step": 30, "verdict": "not informative"})


def test_the_beta_family_has_no_ramp() -> None:
    assert not see("------", TrialConfig(objective="beta_vae", beta=4.0, steps=200))


def test_trials_are_told_apart() -> None:
    futility = Futility()
    other = TrialConfig(ramp_steps=100, steps=200, seed=1)
    for step, config in ((10, CAPACITY), (20, other), (30, CAPACITY), (40, other)):
        assert not futility.see(config, {"step": step, "verdict": "not informative"})
