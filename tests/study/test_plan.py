import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from study import plan
from trainables.checks import InputError
from trainables.config import Evaluation, TrialConfig

CONFIGS = [TrialConfig(seed=seed, steps=1700, ramp_steps=1200) for seed in range(6)]
PLANNED = {config.key(): config for config in CONFIGS}
STATUSES = ["finished", "diverged", "stopped", "dropped", "failed", "interrupted", "running", None]


@given(status=st.lists(st.sampled_from(STATUSES), min_size=6, max_size=6), retry=st.booleans())
def test_to_run_is_the_plan_minus_the_results_interrupted_first(status: list, retry: bool) -> None:
    known = {c.key(): s for c, s in zip(CONFIGS, status, strict=True) if s}
    left = list(plan.to_run(PLANNED, known, retry_failed=retry).values())
    wanted = {"interrupted", "running", None} | ({"failed"} if retry else set())
    assert {c.seed for c in left} == {c.seed for c, s in zip(CONFIGS, status, strict=True) if s in wanted}
    started = [c.key() in known for c in left]
    assert started == sorted(started, reverse=True)


def test_price_of_nothing_is_nearly_nothing() -> None:
    price = plan.price([], Evaluation(), slots=2, speed=plan.Speed(9.0))
    assert (price.trials, price.steps) == (0, 0)
    assert price.seconds == plan.START_SECONDS


def test_price_halves_with_two_slots_and_says_where_its_speed_comes_from() -> None:
    one = plan.price(CONFIGS, Evaluation(), slots=1, speed=plan.Speed.measured(10.0))
    two = plan.price(CONFIGS, Evaluation(), slots=2, speed=plan.Speed(10.0))
    assert one.seconds is not None
    assert two.seconds is not None
    assert one.seconds - plan.START_SECONDS == pytest.approx(2 * (two.seconds - plan.START_SECONDS))
    assert one.seconds > 6 * 1700 / 10
    assert "a speed measured in this store" in str(one)
    assert "an assumed speed" in str(two)
    assert "a time unknown until trials have run" in str(plan.price(CONFIGS, Evaluation(), 1, plan.Speed(None)))
    assert two.disk_bytes > 6 * plan.STORED_BYTES


def test_a_measured_speed_is_of_the_studys_own_batches() -> None:
    small = [dataclasses.replace(config, batch_size=4) for config in CONFIGS]
    unscored = Evaluation(report_rows=2, probe_rows=2)
    prices = [plan.price(some, unscored, 2, plan.Speed.measured(10.0)) for some in (CONFIGS, small)]
    assert prices[0].seconds == pytest.approx(prices[1].seconds, rel=0.01)
    assumed = [plan.price(some, Evaluation(), 2, plan.Speed(10.0)).seconds for some in (CONFIGS, small)]
    assert (assumed[0] or 0) > 2 * (assumed[1] or 0)


def test_reports_are_thinned_only_above_the_limit() -> None:
    evaluation = Evaluation(report_every=10)
    assert plan.report_sparingly(evaluation, slots=2, steps_per_second=15.0) == evaluation
    thinned = plan.report_sparingly(evaluation, slots=100, steps_per_second=25.0)
    assert thinned.report_every == 30
    assert 100 * 25.0 / thinned.report_every <= plan.MAX_ROWS_PER_SECOND


@pytest.mark.parametrize(
    ("seconds", "said"), [(45, "45 s"), (89, "89 s"), (720, "12 min"), (12_240, "3.4 h"), (181_440, "2.1 days")]
)
def test_durations(seconds: float, said: str) -> None:
    assert plan.duration(seconds) == said


def test_a_budget_is_the_least_of_its_limits() -> None:
    assert plan.Budget().seconds is None
    assert plan.Budget(max_hours=2).seconds == 7200
    assert plan.Budget(max_cost=3, price_per_hour=6).seconds == 1800
    assert plan.Budget(max_hours=0.25, max_cost=3, price_per_hour=6).seconds == 900
    assert plan.Budget(price_per_hour=6).seconds is None  # a price alone limits nothing


def test_what_so_many_seconds_cost() -> None:
    assert plan.Budget().cost(3600) == ""
    assert plan.Budget(price_per_hour=2.5).cost(1800) == ", 1.25 at 2.5 an hour"
    assert plan.Budget(price_per_hour=2.5).cost(None) == ", 2.5 an hour"  # nobody knows how long
    assert plan.Budget().cost(None) == ""


def test_a_budget_that_admits_no_trial_is_refused() -> None:
    price = plan.price(CONFIGS, Evaluation(), slots=2, speed=plan.Speed(10.0))
    first = price.seconds_per_trial
    assert first is not None
    assert price.seconds is not None
    assert first - plan.START_SECONDS == pytest.approx((price.seconds - plan.START_SECONDS) * 2 / 6)
    plan.Budget(max_hours=first / 3600 + 1e-6).check(price)
    with pytest.raises(InputError, match="admits no trial: the first takes about 4 min; raise --max-hours"):
        plan.Budget(max_hours=first / 3600 - 1e-3).check(price)
    unknown = plan.price(CONFIGS, Evaluation(), slots=2, speed=plan.Speed(None))
    plan.Budget(max_hours=1e-5).check(unknown)  # nobody knows, so nobody is refused


def test_a_price_is_found_elsewhere_where_none_was_given() -> None:
    assert plan.Budget(max_cost=3).priced(6.0) == plan.Budget(max_cost=3, price_per_hour=6)
    assert plan.Budget(max_cost=3, price_per_hour=5).priced(6.0) == plan.Budget(max_cost=3, price_per_hour=5)
    assert plan.Budget(max_hours=1).priced(None) == plan.Budget(max_hours=1)
    with pytest.raises(InputError, match="--max-cost=3 needs the --price-per-hour"):
        plan.Budget(max_cost=3).priced(None)


@pytest.mark.parametrize("limits", [{"max_hours": 0.0}, {"max_cost": -1.0, "price_per_hour": 1.0}])
def test_limits_that_mean_nothing_are_refused(limits: dict) -> None:
    with pytest.raises(InputError, match=r"--max-(hours|cost)="):
        plan.Budget(**limits)


def test_a_span_names_a_shared_unit_once() -> None:
    assert plan.span(600.0, 720.0) == "10 to 12 min"
    assert plan.span(40.0, 720.0) == "40 s to 12 min"
    assert plan.span(700.0, 720.0) == "12 min"
