from pathlib import Path

import pandas as pd
import pytest

from analysis.figures import fronts as figure
from analysis.frames import Frames, load
from analysis.parts import Picture
from analysis.report.sections import Told, sections


@pytest.mark.parametrize(("most", "said"), [(2, "The 2 likeliest of 6 settings; the table has all. n ="), (6, "n =")])
def test_a_figure_has_a_row_for_the_likeliest_settings_alone(
    fake_study: Path, monkeypatch: pytest.MonkeyPatch, most: int, said: str
) -> None:
    monkeypatch.setattr(figure, "MAX_ROWS", most)
    frames = load(fake_study)
    more = [frames.trials.assign(key=frames.trials["key"] + str(n), seed=frames.trials["seed"] + 2 * n) for n in (0, 1)]
    told = Told(Frames(frames.study, pd.concat(more, ignore_index=True), frames.rows))
    parts = dict(sections(told))["The trade-off"]
    drawn = next(part for part in parts if isinstance(part, Picture) and part.name == "on_front")
    assert len(drawn.figure.axes[0].get_yticks()) == most
    assert drawn.figure.get_figheight() == pytest.approx(1.2 + 0.28 * most)
    assert drawn.caption.startswith(said)
