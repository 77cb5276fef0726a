"""What gpu_pack.py has measured so far, what it could not, and the time that it has left."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_baselines import PROCESSES

RESERVED = 75.0
"""Seconds kept for the last measurement, what the models learn."""
EXPECTED = {"cells": 10.0, "compiled": 100.0, "baselines": 8.0, PROCESSES: 75.0, "one_update": 5.0, "learning": 30.0}
"""Seconds of a measurement, until one of its kind has been seen."""


class Session:
    """The results so far, and the time left.

    Args:
        path: Of the JSON.
        seconds: In all.
        results: What is known beforehand.
    """

    def __init__(self, path: Path, seconds: float, results: dict[str, Any]) -> None:
        self.path, self.results, self.longest = path, results, dict(EXPECTED)
        self.deadline = time.monotonic() + seconds

    def measure(
        self, kind: str, what: dict[str, Any], make: Callable[[], dict[str, Any]], cost: str | None = None
    ) -> bool:
        """Make a measurement and keep it, or the reason why there is none.

        Args:
            kind: The list in the results that it belongs to.
            what: Names it.
            make: Measures.
            cost: Of which kind its time is, where not `kind`.

        Returns:
            Whether it was made.
        """
        cost = cost or kind
        if why := self.no_time(cost):
            return self.skip(kind, what, why)
        began = time.monotonic()
        try:
            found = make()
        except torch.OutOfMemoryError as error:
            return self.skip(kind, what, f"no memory ({str(error).splitlines()[0]})")
        except Exception as error:  # somebody's compiler, say: all else is measured
            return self.skip(kind, what, f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}")
        took = time.monotonic() - began
        self.longest[cost] = max(took, self.longest[cost] if self.longest[cost] != EXPECTED[cost] else 0.0)
        self.results[kind].append(found | {"took_seconds": took})
        print(f"{kind} {_said(what)}: {_said(found, brief=True)}", flush=True)
        self.save()
        return True

    def no_time(self, cost: str) -> str | None:
        """Why a measurement of this kind is not begun, if so."""
        left = self.deadline - time.monotonic() - (0.0 if cost == "learning" else RESERVED)
        if left >= self.longest[cost]:
            return None
        return f"no time: {max(left, 0.0):.0f} s left, {self.longest[cost]:.0f} s expected"

    def skip(self, kind: str, what: dict[str, Any], why: str) -> bool:
        """Say that a measurement was not made; false."""
        self.results["not_measured"].append({"kind": kind, **what, "why": why})
        print(f"{kind} {_said(what)}: not measured: {why}", flush=True)
        self.save()
        return False

    def save(self) -> None:
        """Write the results so far."""
        self.path.write_text(json.dumps(self.results, indent=1))


def _said(values: dict[str, Any], brief: bool = False) -> str:
    if not brief:
        return " ".join(str(value) for value in values.values())
    shown = {name: value for name, value in values.items() if isinstance(value, float) or name in ("recon", "kl")}
    return ", ".join(
        f"{name} {value['mean']:.4g}" if isinstance(value, dict) else f"{name} {value:.4g}"
        for name, value in shown.items()
    )
