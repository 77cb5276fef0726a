"""The one style of all our figures: colours, names and lines."""

import matplotlib as mpl
import seaborn as sns

FAMILY_COLOURS = {"beta": "#0072B2", "capacity": "#D55E00"}
OTHER_COLOURS = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""All from the palette of Okabe and Ito, told apart with any colour vision; the latter for one's own objectives."""
MARKERS = "osD^v"
"""Of the families in turn, told apart without colour too."""
FAMILY_NAMES = {"beta": "fixed β", "capacity": "controlled capacity"}
RECON = "reconstruction loss, held-out (nats per image)"


def use() -> None:
    """The style of all our figures: call once, before drawing."""
    sns.set_theme(
        style="ticks", context="paper", font_scale=1.1, rc={"axes.spines.top": False, "axes.spines.right": False}
    )
    mpl.rcParams.update(
        {
            "axes.grid": True,
            "grid.alpha": 0.3,
            "legend.frameon": False,
            "savefig.dpi": 160,
            "text.parse_math": False,  # a name with a $ is a name, no formula
            "figure.constrained_layout.use": True,
        }
    )


def colours(families: list[str]) -> dict[str, str]:
    """Family -> colour: ours have their own, others take the next of the palette in the order given."""
    others = [family for family in dict.fromkeys(families) if family not in FAMILY_COLOURS]
    return FAMILY_COLOURS | {family: OTHER_COLOURS[place % len(OTHER_COLOURS)] for place, family in enumerate(others)}
