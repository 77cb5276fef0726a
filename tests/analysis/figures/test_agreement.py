import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from analysis.figures.agreement import agreement as draw
from analysis.tradeoff.agreement import agreement
from analysis.tradeoff.settings import Setting


def test_each_pair_is_a_number_once_in_the_order_of_the_scores() -> None:
    a = np.arange(6.0)
    frame = pd.DataFrame({"setting": ["s"] * 6, "recon": a, "a": a, "b": -a})
    found = agreement(frame, [Setting("s", "beta", {}, {}, {}, {})], ["a", "b"])
    axes = draw(plt.figure().subplots(), found)
    assert [text.get_text() for text in axes.texts] == [*"1.00 -1.00 -1.00 -1.00 1.00 1.00 -1.00 1.00 1.00".split()]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "-recon"]
