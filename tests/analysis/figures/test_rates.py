import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from analysis.figures import rates as figure
from analysis.figures.matched import ARM_COLOURS
from analysis.tradeoff.rates import lines, unresolved


def example(seeds: int) -> pd.DataFrame:
    return pd.DataFrame(
        {"family": family, "ramp_steps": 9, "seed": seed, "setting": f"{family} {kl}", "recon": 300.0 - 10 * kl + seed,
         "kl": kl + 0.1 * seed, "info_sum": kl / 2, "info_low": 3.0, "info_high": 9.0, "info_resolved": False,
         "info_n": 10_000}
        for family in ("capacity", "beta") for seed in range(seeds) for kl in (2.0, 6.0, 12.0)
    )  # fmt: skip


def legend(axes: Axes) -> list[str]:
    box = axes.get_legend()
    assert box is not None
    return [text.get_text() for text in box.get_texts()]


@pytest.mark.parametrize(("rate", "words"), [("kl", "KL"), ("info_sum", "sum of I")])
def test_every_seed_is_a_faint_line_and_every_arm_a_thick_one(rate: str, words: str) -> None:
    found = lines(example(3), rate)
    axes = figure.rates(plt.figure().subplots(), found, rate)
    faint = [line for line in axes.lines if line.get_linewidth() < 2]
    thick = [line for line in axes.lines if line.get_linewidth() > 2]
    curves = [curve for one in found for curve in one.curves.values()]
    assert [np.asarray(line.get_xydata()).T.tolist() for line in faint] == [
        [curve.x.tolist(), curve.y.tolist()] for curve in curves
    ]
    assert len(thick) == 2
    for line, one in zip(thick, found, strict=True):
        assert one.mean is not None
        assert np.asarray(line.get_ydata()) == pytest.approx(one.mean.y)
        assert line.get_color() == ARM_COLOURS[one.arm]
    assert thick[0].get_linestyle() != thick[1].get_linestyle()
    assert {line.get_alpha() for line in faint} == {0.3}
    assert words in axes.get_xlabel()
    assert "(nats)" in axes.get_xlabel()
    assert "(nats per image)" in axes.get_ylabel()
    assert legend(axes) == ["capacity (3 seeds)", "fixed beta (3 seeds)"]
    assert figure.caption(found).endswith("capacity 3 seeds, 9 trials; fixed beta 3 seeds, 9 trials.")


def test_one_seed_has_its_own_line_and_no_mean() -> None:
    found = lines(example(1))
    axes = figure.rates(plt.figure().subplots(), found)
    assert {line.get_alpha() for line in axes.lines} == {0.8}
    assert len(axes.lines) == 2
    assert "No mean for capacity, fixed beta: under two seeds" in figure.caption(found)


def test_a_rate_that_is_not_resolved_is_a_sentence() -> None:
    frame = example(2)
    found, reason = lines(frame, "info_mid"), unresolved(frame, "info_mid")
    axes = figure.rates(plt.figure().subplots(), found, "info_mid", reason)
    assert [" ".join(text.get_text().split()) for text in axes.texts] == [
        "I(x;z) is not resolved at n = 10,000 in 12 of 12 trials"
    ]  # fmt: skip
    assert not axes.lines
    assert axes.get_legend() is None
    assert len(axes.get_xticks()) == 0
    assert figure.caption(found) == ""
