"""From a measurement to a metrics row: the audit, the scores and the verdict; numpy alone, wherever a CPU is free.

docs/metrics.md explains every column.
"""

import math
import time
from collections.abc import Mapping

import numpy as np

from trainables import position
from trainables.config import Evaluation, TrialConfig
from trainables.data.dataset import Dataset
from trainables.measurement import Arrays, Full, Measurement, Report, Row
from trainables.metrics import audit, mig, table
from trainables.metrics.calibration import Result
from trainables.metrics.joint import joint_information
from trainables.metrics.table import Metric

OFF_PLATEAU = 0.35
"""Share of R0 below which a model reconstructs more than the average image (science.md)."""


class Scorer:
    """Makes the reports of one trial from what was measured.

    Args:
        dataset: The one that was measured on.
        evaluation: Its seed fixes the nulls of the scores.
        config: Of the trial.
    """

    def __init__(self, dataset: Dataset, evaluation: Evaluation, config: TrialConfig) -> None:
        self.dataset, self.seed, self.config = dataset, evaluation.eval_seed, config

    def report(self, measured: Measurement) -> Report:
        """The report, with the seconds of its scoring counted in."""
        started = time.perf_counter()
        if measured.diverged:
            return Report({}, None, done=True, diverged=True, step=measured.step)
        info = audit.information_per_latent(measured.mean, measured.log_std)
        row, arrays = self._basics(measured, info), {}
        if measured.full:
            more, arrays = self._full(measured, measured.full, row, info)
            row |= more
        row |= {"full": measured.full is not None, "tracking": measured.tracking}
        row |= {
            "verdict": self.verdict(row),
            "seconds": measured.seconds + time.perf_counter() - started,
            "steps_per_second": measured.updates / measured.training_seconds if measured.updates else math.nan,
            "done": measured.done,
        }
        return Report(row, arrays | measured.snapshots if measured.done else None, measured.done, step=measured.step)

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

    def _basics(self, measured: Measurement, info: audit.Information) -> Row:
        return {
            "step": measured.step,
            "recon": measured.recon,
            "kl": float(info.kl.sum()),
            "capacity": measured.capacity,
            "objective_value": measured.objective_value,
            "info_sum": float(info.info.sum()),
            **{f"kl_{j}": float(value) for j, value in enumerate(info.kl)},
            **{f"info_{j}": float(value) for j, value in enumerate(info.info)},
        }

    def _full(self, measured: Measurement, full: Full, basics: Row, info: audit.Information) -> tuple[Row, Arrays]:
        """What a full evaluation adds to the row, and its arrays."""
        active = audit.active_latents(info.kl, info.info)
        row: Row = {
            "probe_rows": len(full.probe_rows),
            "recon_mean": full.recon_mean,
            "recon_train": full.recon_train,
            "mse": full.mse,
            "recon_floor": self.dataset.recon_floor,
            "constant_loss": self.dataset.constant_loss,
            "off_plateau": self._above_floor(measured.recon) < OFF_PLATEAU,
            "dim_kl": float(info.dim_kl.sum()),
            **{f"dim_kl_{j}": float(value) for j, value in enumerate(info.dim_kl)},
            "active_latents": int(active.sum()),
            "active_kl001": audit.active_kl001(info.kl),
            "active_units": audit.active_units(measured.mean),
            "excess": audit.excess(basics["kl"], self.dataset.entropy),
        }
        row |= self._joint(measured, full, basics["info_sum"])
        scores, tables = self._scores(measured, full, active)
        row |= scores
        arrays: Arrays = {"probe_rows": full.probe_rows, "mean": measured.mean, "log_std": measured.log_std}
        arrays |= tables | full.sheets
        if full.latent_factors is not None:
            arrays["latent_factors"] = full.latent_factors
        if full.place:
            columns, map_ = position.scored(full.place, info.kl, info.info)
            row, arrays = row | columns, arrays | map_
        return row, arrays

    def _joint(self, measured: Measurement, full: Full, info_sum: float) -> Row:
        """The brackets of I(x; z) and of TC; of the training images where their posteriors were measured."""
        mean, log_std, draws = measured.mean, measured.log_std, full.sampled
        if full.aggregate:
            mean, log_std, draws = full.aggregate
            info_sum = float(audit.information_per_latent(mean, log_std).info.sum())
        joint = joint_information(mean, log_std, draws, np.arange(len(draws)))
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

    def _scores(self, measured: Measurement, full: Full, active: np.ndarray) -> tuple[Row, Arrays]:
        """The cheap scores and their tables; `missing_scores` says why, where one cannot be had."""
        codes = measured.mean
        if not self.dataset.factors:
            (alone,) = table.named(["gaussian_total_correlation"])
            found = table.measured(alone, codes, codes[:, :0], self.seed)
            return {"missing_scores": "the dataset has no factors"} | table.columns(found), {}
        factors = self.dataset.factors_of(full.probe_rows)
        tables: Arrays = {
            "factors": factors.astype(np.uint8),
            "mutual_information": mig.mutual_information(codes, factors),
        }
        if self.config.is_generator:
            return {"missing_scores": "the generator's codes are its factors, noised"}, tables
        results: dict[str, Result] = {}
        for metric in table.metrics_of(factors, self.dataset.factors):
            if metric.cheap:
                results |= self._tried(metric, codes, factors, nulls=measured.done)
        row: Row = {"missing_scores": table.reasons(results)} | table.columns(results)
        if "mig" in row:
            row["mig_active"] = mig.mig_active(codes, factors, active)
            row["mig_sampled"] = mig.mig(full.sampled, factors)
        return row, tables

    def _tried(self, metric: Metric, codes: np.ndarray, factors: np.ndarray, nulls: bool) -> Mapping[str, Result]:
        try:
            compute = table.calibrated if nulls else table.measured
            return compute(metric, codes, factors, self.seed)
        except Exception as error:  # a fault in a score must not cost the trial; rescoring computes it later
            return dict.fromkeys(metric.names, Result(math.nan, len(codes), missing=f"{type(error).__name__}: {error}"))

    def _above_floor(self, recon: float) -> float:
        """Reconstruction loss above the pixels' own entropy, as a share of the best constant image's."""
        floor = self.dataset.recon_floor
        return (recon - floor) / (self.dataset.constant_loss - floor)
