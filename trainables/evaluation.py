"""Held-out evaluation of one model: cheap reports and the full evaluation, on a probe that all trials share.

Probe rows, training rows and noise are functions of `eval_seed` and the dataset alone, so trials, steps and
restarts are compared on the same images with the same draws. docs/metrics.md explains every column.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainables import objectives, position
from trainables.config import Evaluation, TrialConfig
from trainables.data.dataset import Dataset
from trainables.generator import Generator
from trainables.metrics import audit, mig, table
from trainables.metrics.calibration import Result
from trainables.metrics.joint import joint_information
from trainables.metrics.table import Metric
from trainables.model import EncoderDecoder
from trainables.passes import NotFinite, Passes, finite
from trainables.pictures import Arrays, sheets
from trainables.randomness import EVALUATION, integers, normals, permutation

OUTER_ROWS = 1000
"""Draws whose density in the aggregate of `aggregate_rows` training images is asked for."""
OFF_PLATEAU = 0.35
"""Share of R0 below which a model reconstructs more than the average image (science.md)."""
_HELD_OUT, _TRAIN, _NOISE, _TRAIN_NOISE, _COLOURS, _TRAIN_COLOURS = range(6)  # counters of the evaluation stream

Row = dict[str, Any]


class Evaluator:
    """Scores models of one dataset, always on the same rows with the same noise.

    Args:
        dataset: Its held-out part gives the probe.
        evaluation: Sizes and seed.
        config: Of the trial whose models are to come.
        device: Where the models are.
    """

    def __init__(self, dataset: Dataset, evaluation: Evaluation, config: TrialConfig, device: torch.device) -> None:
        self.dataset, self.config = dataset, config
        self.passes = Passes(dataset, config, device)
        seed, latents = evaluation.eval_seed, config.latents
        self.seed = seed
        self.probe = self._sample(dataset.held_out_rows, evaluation.probe_rows, _HELD_OUT, _COLOURS)
        most = max(len(self.probe), evaluation.aggregate_rows)
        seen = self._sample(dataset.train_rows, most, _TRAIN, _TRAIN_COLOURS)
        self.train_rows, self.aggregate_rows = seen[: len(self.probe)], seen[: evaluation.aggregate_rows]
        self.report_rows = min(evaluation.report_rows, len(self.probe))
        self.positions = position.position_rows(dataset, self.probe[0])
        count = len(self.probe) * latents
        self.noise = normals(seed, EVALUATION, _NOISE, count).view(-1, latents)
        count = len(self.train_rows) * latents
        self.train_noise = normals(seed, EVALUATION, _TRAIN_NOISE, count).view(-1, latents)

    def _sample(self, part: np.ndarray, count: int, order: int, colours: int) -> np.ndarray:
        """So many rows of a part in random order, each stored image once, in a random one of its colourings."""
        chosen = permutation(self.seed, EVALUATION, order, len(part))[:count].numpy()
        many = self.dataset.colourings
        colouring = integers(self.seed, EVALUATION, colours, len(chosen), many).numpy()
        return self.dataset.drawn(part, chosen * many + colouring)

    @torch.no_grad()
    def report(self, model: EncoderDecoder, step: int) -> Row:
        """The cheap row: reconstruction, KL and information on the first `report_rows` probe rows."""
        recon, mean, log_std = self.passes.losses(model, self.probe[: self.report_rows], self.noise)
        return self._basics(step, recon, mean, log_std)[0]

    @torch.no_grad()
    def full(self, model: EncoderDecoder, step: int, nulls: bool) -> tuple[Row, Arrays]:
        """The full evaluation on the whole probe.

        Args:
            model: To be scored.
            step: Completed updates.
            nulls: Whether the scores get their nulls and ceilings, and the position map is made: at the end.

        Returns:
            The row, and the arrays that later scores and sheets are made of.
        """
        recon, mean, log_std = self.passes.losses(model, self.probe, self.noise)
        row, info = self._basics(step, recon, mean, log_std)
        recon_mean, mse = self.passes.at_mean(model, self.probe, mean)
        recon_train, _, _ = self.passes.losses(model, self.train_rows, self.train_noise)
        active = audit.active_latents(info.kl, info.info)
        row |= {
            "probe_rows": len(self.probe),
            "recon_mean": recon_mean,
            "recon_train": recon_train.mean().item(),
            "mse": mse,
            "recon_floor": self.dataset.recon_floor,
            "constant_loss": self.dataset.constant_loss,
            "off_plateau": self._above_floor(row["recon"]) < OFF_PLATEAU,
            "dim_kl": float(info.dim_kl.sum()),
            **{f"dim_kl_{j}": float(value) for j, value in enumerate(info.dim_kl)},
            "active_latents": int(active.sum()),
            "active_kl001": audit.active_kl001(info.kl),
            "active_units": audit.active_units(mean.numpy()),
            "excess": audit.excess(row["kl"], self.dataset.entropy),
        }
        sampled = mean + log_std.exp() * self.noise
        row |= self._joint(model, mean, log_std, sampled, row["info_sum"])
        codes = mean.numpy()
        scores, tables = self._scores(codes, sampled.numpy(), active, nulls)
        arrays = {"probe_rows": self.probe, "mean": codes, "log_std": log_std.numpy()}
        arrays |= tables | sheets(self.passes, model, self.probe, mean)
        if isinstance(model, Generator):
            arrays["latent_factors"] = model.code.group.cpu().numpy()
        elif nulls and self.positions is not None:
            place, map_ = position.measured(self.passes, model, self.positions, info.kl, info.info)
            return row | scores | place, arrays | map_
        return row | scores, arrays

    def _joint(self, model: EncoderDecoder, mean: Tensor, log_std: Tensor, sampled: Tensor, info_sum: float) -> Row:
        """The brackets of I(x; z) and of TC; of the training images where `aggregate_rows` asks for them."""
        if len(self.aggregate_rows):
            mean, log_std = self.passes.posteriors(model, self.aggregate_rows)
            info_sum = float(audit.information_per_latent(mean.numpy(), log_std.numpy()).info.sum())
            outer = min(OUTER_ROWS, len(self.train_noise), len(mean))
            sampled = mean[:outer] + log_std[:outer].exp() * self.train_noise[:outer]
        rows = np.arange(len(sampled))
        joint = joint_information(mean.numpy(), log_std.numpy(), sampled.numpy(), rows)
        joint = joint.bounded(min(info_sum, self.dataset.entropy))
        tc_low, tc_high = joint.total_correlation(info_sum)
        return {
            "info_n": len(mean),
            "info_low": joint.low,
            "info_high": joint.high,
            "info_se": joint.high_se,
            "info_resolved": joint.resolved,
            "tc_low": tc_low,
            "tc_high": tc_high,
        }

    def _scores(self, codes: np.ndarray, sampled: np.ndarray, active: np.ndarray, nulls: bool) -> tuple[Row, Arrays]:
        """The cheap scores and their tables; `missing_scores` says why, where one cannot be had."""
        if not self.dataset.factors:
            (alone,) = table.named(["gaussian_total_correlation"])
            found = table.measured(alone, codes, codes[:, :0], self.seed)
            return {"missing_scores": "the dataset has no factors"} | table.columns(found), {}
        factors = self.dataset.factors_of(self.probe)
        tables: Arrays = {
            "factors": factors.astype(np.uint8),
            "mutual_information": mig.mutual_information(codes, factors),
        }
        if self.config.is_generator:
            return {"missing_scores": "the generator's codes are its factors, noised"}, tables
        results: dict[str, Result] = {}
        for metric in table.metrics_of(factors, self.dataset.factors):
            if metric.cheap:
                results |= self._tried(metric, codes, factors, nulls)
        row: Row = {"missing_scores": table.reasons(results)} | table.columns(results)
        if "mig" in row:
            row["mig_active"] = mig.mig_active(codes, factors, active)
            row["mig_sampled"] = mig.mig(sampled, factors)
        return row, tables

    def _tried(self, metric: Metric, codes: np.ndarray, factors: np.ndarray, nulls: bool) -> Mapping[str, Result]:
        try:
            compute = table.calibrated if nulls else table.measured
            return compute(metric, codes, factors, self.seed)
        except Exception as error:  # a fault in a score must not cost the trial; rescoring computes it later
            return dict.fromkeys(metric.names, Result(math.nan, len(codes), missing=f"{type(error).__name__}: {error}"))

    def verdict(self, row: Row) -> str:
        """The audit's verdict on a row with its `tracking`, the mean held-out KL - C over the ramp (NaN without)."""
        return audit.verdict(
            objective=self.config.objective,
            kl=row["kl"],
            info_sum=row["info_sum"],
            recon=row["recon"] - self.dataset.recon_floor,
            constant_loss=self.dataset.constant_loss - self.dataset.recon_floor,
            capacity=row["capacity"],
            tracking=row["tracking"],
        )

    def _above_floor(self, recon: float) -> float:
        """Reconstruction loss above the pixels' own entropy, as a share of the best constant image's."""
        floor = self.dataset.recon_floor
        return (recon - floor) / (self.dataset.constant_loss - floor)

    def _basics(self, step: int, losses: Tensor, mean: Tensor, log_std: Tensor) -> tuple[Row, audit.Information]:
        config = self.config
        if not (losses.isfinite().all() and finite(mean, log_std)):
            raise NotFinite(f"the model of trial {config.key()} has no finite posterior or loss at step {step}")
        recon = losses.mean().item()
        info = audit.information_per_latent(mean.numpy(), log_std.numpy())
        kl = float(info.kl.sum())
        capacity = objectives.capacity(step, config) if config.objective == "capacity" else float("nan")
        objective = objectives.objective(losses, objectives.gaussian_kl(mean, log_std), step, config)
        row = {
            "step": step,
            "recon": recon,
            "kl": kl,
            "capacity": capacity,
            "objective_value": objective.item(),
            "info_sum": float(info.info.sum()),
            **{f"kl_{j}": float(value) for j, value in enumerate(info.kl)},
            **{f"info_{j}": float(value) for j, value in enumerate(info.info)},
        }
        return row, info
