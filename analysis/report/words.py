"""What the report page says beside its figures and under its tables."""

import pandas as pd

from analysis.tradeoff.settings import Setting

IN_BRACKETS = (
    "Reconstruction (nats per image), KL (nats) and scores are means over seeds of held-out values; in brackets both "
    "values of two seeds, or the 95 % interval of three and more."
)
VOLUME = (
    "Hypervolume: of the square between the best constant image (R0) and no loss, and between a score of 0 and of 1, "
    "the share that a family's settings dominate, seed by seed. It grows with the number of settings, so families are "
    "compared at equal settings and seeds alone."
)
SHARES = (
    "Variance components of a complete grid, settings x seeds, by expected mean squares; they sum to 1, and one may "
    "come out under 0. The shares are of this grid: a wider range of a field would make its share greater."
)
LAPTOP = "A laptop study does not show this: what follows has the form of an answer, not its worth."
CHOICE = (
    "Looks: means over the seeds that made the choice, which is why they are too good. Honest: chosen on all seeds but "
    "one, read on that one, averaged; without an interval, since the choices share seeds. Your own preference: "
    "notebook 04_choose_a_setting."
)
AGREEMENT = (
    "Spearman's correlation over trials; -recon is reconstruction, turned so that more is better. Under 0 beside a "
    "score: what reconstructs better scores lower, the trade-off itself."
)
COLUMNS = (
    "follows: mean |KL - C| over the ramp, nats. opened: latents in the order in which I_j rose through 0.2 nats, and "
    "C there in nats (for fixed beta: the update). position R^2: of x and y, the lesser, predicted jointly from the "
    "first two latents to open; tie where the third opens within a report of the second."
)
SCORES = (
    "Calibrated: (raw - null) / (ceiling - null), 0 for codes that know nothing and 1 for a perfect code; missing "
    "where there is no ceiling or the two nearly meet. Null: permuted factors. Ceiling: the class indices as codes, "
    "the rest constant. Brackets: both seeds, or the 95 % interval over seeds. sd of one: of one trial's value, over "
    "samples of as many rows or over the score's draws (docs/metrics.md)."
)
RESCORE = (
    "Others, DCI and InfoMEC among them, from the stored codes: python -m analysis.rescore STORE, then this page again."
)
AUDIT = (
    "All in nats. KL = sum of I_j + dim KL, and sum of I_j = I(x;z) + TC: dim KL carries nothing, TC is said twice, "
    "excess is more than the images hold. I(x;z) and TC are brackets, own row in and out of the aggregate posterior "
    "of n images; wider than 0.5 nats is not resolved at this n."
)
SELECTION = (
    "Spearman's correlation over trials of each score without labels, turned so that more is better, with each "
    "supervised one (interval: settings resampled, from ten on); and the mean regret of choosing a setting by it on "
    "all seeds but one, against choosing by the supervised score itself, read on the seed left out. UDR alone "
    "compares all seeds, the left-out one too."
)
LABEL_FREE = (
    "Mean over seeds. UDR: how nearly the latents of a setting's replicates match one to one, by Lasso coefficients "
    "or by Spearman's correlation."
)
SHEETS = (
    "Traversals: one held-out image, each latent from -3 to 3 while the "
    "others stay at their means; rows by held-out KL, with KL and I_j in nats and the factor that the latent says most "
    "of, as a share of that factor's entropy. Inactive latents are grey."
)


def tracked(trials: pd.DataFrame) -> str:
    """How many trials the tracking figure has a line of."""
    return f"n = {(trials['family'] == 'capacity').sum()} capacity trials, a line each, every seed."


def as_drawn(rows: list[Setting]) -> str:
    """What a figure of settings counts, and how to read it, by how many seeds they have."""
    seeds = [len(row.estimates["recon"].values) for row in rows if row.estimates["recon"].values]
    words = [f"n = {sum(seeds)} trials of {len(seeds)} settings: small points are trials, large ones means over seeds."]
    if min(seeds, default=0) <= 2:
        words.append("Settings of one or two seeds have no interval; a front of so few describes this run alone.")
    if max(seeds, default=0) > 2:
        words.append("Bars are 95 % intervals of the means.")
    return " ".join(words)
