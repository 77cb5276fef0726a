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

from trainables import objectives
from trainables.config import Evaluation, TrialConfig
from trainables.data.dataset import Dataset
from trainables.metrics import audit, mig, table
from trainables.metrics.calibration import Result
from trainables.metrics.joint import joint_information
from trainables.metrics.table import Metric
from trainables.model import EncoderDecoder
from trainables.randomness import EVALUATION, normals, permutation

CHUNK = 128
"""Images a forward pass."""
SHEET_SEEDS, SHEET_REACH, SHEET_COLUMNS = 4, 3.0, 11
"""Traversals: seed images, and the values from -3 to 3 that each latent takes."""
SHEET_RECONSTRUCTIONS = 8
MAX_LOG_STD = 85.0
"""Beyond it the square of a standard deviation leaves fp32's range."""
OUTER_ROWS = 1000
"""Draws whose density in the aggregate of `aggregate_rows` training images is asked for."""
OFF_PLATEAU = 0.35
"""Share of R0 below which a model reconstructs more than the average image (science.md)."""
_HELD_OUT, _TRAIN, _NOISE, _TRAIN_NOISE = range(4)  # counters of the evaluation stream

Row = dict[str, Any]
Arrays = dict[str, np.ndarray]


class NotFinite(ArithmeticError):
    """The model has diverged: a reconstruction or a posterior is infinite or NaN."""


class Evaluator:
    """Scores models of one dataset, always on the same rows with the same noise.

    Args:
        dataset: Its held-out part gives the probe.
        evaluation: Sizes and seed.
        latents: Of the models to come.
        precision: Autocast of the passes, as in training.
        device: Where the models are.
    """

    def __init__(
        self, dataset: Dataset, evaluation: Evaluation, latents: int, precision: str, device: torch.device
    ) -> None:
        self.dataset, self.device, self.precision = dataset, device, precision
        seed = evaluation.eval_seed
        self.seed = seed
        order = permutation(seed, EVALUATION, _HELD_OUT, len(dataset.held_out_rows))
        self.probe = dataset.held_out_rows[order[: evaluation.probe_rows].numpy()]
        order = permutation(seed, EVALUATION, _TRAIN, len(dataset.train_rows))
        self.train_rows = dataset.train_rows[order[: len(self.probe)].numpy()]
        self.aggregate_rows = dataset.train_rows[order[: evaluation.aggregate_rows].numpy()]
        self.report_rows = min(evaluation.report_rows, len(self.probe))
        count = len(self.probe) * latents
        self.noise = normals(seed, EVALUATION, _NOISE, count).view(-1, latents)
        count = len(self.train_rows) * latents
        self.train_noise = normals(seed, EVALUATION, _TRAIN_NOISE, count).view(-1, latents)

    @torch.no_grad()
    def report(self, model: EncoderDecoder, config: TrialConfig, step: int) -> Row:
        """The cheap row: reconstruction, KL and information on the first `report_rows` probe rows."""
        recon, mean, log_std = self._pass(model, self.probe[: self.report_rows], self.noise)
        return self._basics(config, step, recon, mean, log_std)[0]

    @torch.no_grad()
    def full(self, model: EncoderDecoder, config: TrialConfig, step: int, nulls: bool) -> tuple[Row, Arrays]:
        """The full evaluation on the whole probe.

        Args:
            model: To be scored.
            config: Of its trial.
            step: Completed updates.
            nulls: Whether the scores get their nulls and ceilings.

        Returns:
            The row, and the arrays that later scores and sheets are made of.
        """
        recon, mean, log_std = self._pass(model, self.probe, self.noise)
        row, info = self._basics(config, step, recon, mean, log_std)
        recon_mean, mse = self._mean_pass(model, mean)
        recon_train, _, _ = self._pass(model, self.train_rows, self.train_noise)
        active = audit.active_latents(info.kl, info.info)
        row |= {
            "probe_rows": len(self.probe),
            "recon_mean": recon_mean,
            "recon_train": recon_train.mean().item(),
            "mse": mse,
            "recon_floor": self.dataset.recon_floor,
            "constant_loss": self.dataset.constant_loss,
            "off_plateau": row["recon"] < OFF_PLATEAU * self.dataset.constant_loss,
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
        return row | scores, arrays | tables | self._sheets(model, mean)

    def _joint(self, model: EncoderDecoder, mean: Tensor, log_std: Tensor, sampled: Tensor, info_sum: float) -> Row:
        """The brackets of I(x; z) and of TC; of the training images where `aggregate_rows` asks for them."""
        if len(self.aggregate_rows):
            mean, log_std = self._encoded(model, self.aggregate_rows)
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

    def verdict(self, config: TrialConfig, row: Row) -> str:
        """The audit's verdict on a row with its `tracking`, the mean held-out KL - C over the ramp (NaN without)."""
        return audit.verdict(
            objective=config.objective,
            kl=row["kl"],
            info_sum=row["info_sum"],
            recon=row["recon"],
            constant_loss=self.dataset.constant_loss,
            capacity=row["capacity"],
            tracking=row["tracking"],
        )

    def _basics(
        self, config: TrialConfig, step: int, losses: Tensor, mean: Tensor, log_std: Tensor
    ) -> tuple[Row, audit.Information]:
        if not (losses.isfinite().all() and _finite(mean, log_std)):
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

    def _pass(self, model: EncoderDecoder, rows: np.ndarray, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction loss (rows,), mean and log std (rows, latents), on the CPU, of codes drawn with `noise`."""
        losses, means, log_stds = [], [], []
        for start in range(0, len(rows), CHUNK):
            images = self._images(rows[start : start + CHUNK])
            with self._autocast():
                mean, log_std = (values.float() for values in model.encode(images))
                draws = noise[start : start + len(images)].to(self.device)
                logits = model.decode(mean + log_std.exp() * draws)
            losses.append(objectives.reconstruction_loss(logits, images).cpu())
            means.append(mean.cpu())
            log_stds.append(log_std.cpu())
        return torch.cat(losses), torch.cat(means), torch.cat(log_stds)

    def _encoded(self, model: EncoderDecoder, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Mean and log std (rows, latents), on the CPU."""
        pairs = []
        for start in range(0, len(rows), CHUNK):
            with self._autocast():
                pairs.append(
                    [values.float().cpu() for values in model.encode(self._images(rows[start : start + CHUNK]))]
                )
        mean, log_std = (torch.cat(tables) for tables in zip(*pairs, strict=True))
        if not _finite(mean, log_std):
            raise NotFinite("the model has no finite posterior on the training images")
        return mean, log_std

    def _mean_pass(self, model: EncoderDecoder, mean: Tensor) -> tuple[float, float]:
        """Reconstruction loss at z = mean, nats per image, and squared error summed over pixels."""
        losses, errors = [], []
        for start in range(0, len(mean), CHUNK):
            images = self._images(self.probe[start : start + CHUNK])
            logits = self._decode(model, mean[start : start + CHUNK])
            losses.append(objectives.reconstruction_loss(logits, images).cpu())
            errors.append((torch.sigmoid(logits) - images).square().flatten(1).sum(1).cpu())
        return torch.cat(losses).mean().item(), torch.cat(errors).mean().item()

    def _sheets(self, model: EncoderDecoder, mean: Tensor) -> Arrays:
        """Traversals (seeds, latents, columns, h, w, c) and reconstructions, uint8, of the first probe rows."""
        latents = mean.shape[1]
        grid = torch.linspace(-SHEET_REACH, SHEET_REACH, SHEET_COLUMNS)
        seeds = mean[:SHEET_SEEDS]
        codes = seeds[:, None, None, :].repeat(1, latents, SHEET_COLUMNS, 1)
        for j in range(latents):
            codes[:, j, :, j] = grid
        frames = self._pixels(self._decode(model, codes.flatten(0, 2)))
        count = min(SHEET_RECONSTRUCTIONS, len(mean))
        return {
            "traversals": frames.reshape(len(seeds), latents, SHEET_COLUMNS, *frames.shape[1:]),
            "reconstructions": self._pixels(self._decode(model, mean[:count])),
            "originals": self._pixels(self._images(self.probe[:count]), logits=False),
        }

    def _decode(self, model: EncoderDecoder, codes: Tensor) -> Tensor:
        with self._autocast():
            return model.decode(codes.to(self.device)).float()

    def _pixels(self, values: Tensor, logits: bool = True) -> np.ndarray:
        """(n, h, w, c) uint8 from logits or from pixels in [0, 1]."""
        pixels = torch.sigmoid(values) if logits else values
        return (pixels * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()

    def _images(self, rows: np.ndarray) -> Tensor:
        return torch.from_numpy(self.dataset.batch(rows)).to(self.device)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")


def _finite(mean: Tensor, log_std: Tensor) -> bool:
    """Whether posteriors can be scored."""
    return bool(mean.isfinite().all() and log_std.isfinite().all() and log_std.abs().max() <= MAX_LOG_STD)
