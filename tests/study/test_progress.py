from hypothesis import given
from hypothesis import strategies as st

from study.progress import snapshot

TARGETS = {"a": 100, "b": 100, "c": 200}


def test_counts_rate_and_eta() -> None:
    now = snapshot(TARGETS, {"a": "finished", "b": "running"}, {"a": 100, "b": 40}, steps_per_second=10.0)
    assert (now.steps_done, now.steps_total, now.eta_seconds) == (140, 400, 26.0)
    assert str(now) == (
        "3 trials: finished 1, running 1, diverged 0, failed 0, waiting 1 |  35% of 400 updates, 10.0/s, 26 s left"
    )


def test_a_diverged_trial_leaves_nothing_to_train() -> None:
    now = snapshot(TARGETS, {"a": "diverged", "b": "failed", "c": "finished"}, {"a": 3}, 5.0)
    assert now.eta_seconds is None
    assert now.steps_done == now.steps_total


def test_without_a_rate_there_is_no_eta() -> None:
    assert snapshot(TARGETS, {}, {}, 0.0).eta_seconds is None


@given(
    status=st.dictionaries(st.sampled_from("abcz"), st.sampled_from(["running", "finished", "failed", "interrupted"])),
    steps=st.dictionaries(st.sampled_from("abcz"), st.integers(0, 500)),
)
def test_progress_never_leaves_its_bounds(status: dict, steps: dict) -> None:
    now = snapshot(TARGETS, status, steps, 1.0)
    assert 0 <= now.steps_done <= now.steps_total == 400
    assert sum(now.counts.values()) <= now.total == 3
