"""How much faster is a study on CPUs than plain PyTorch? Prints the ratio of their updates a second last.

Ours is what a study does on this machine: as many one-thread trials as cores, each with its batches, updates and
reports. Plain is what one would write first: one process with all threads, eager, fp32, channels first, the default
allocator, batches and updates alone (no reports: in favour of plain). Each round runs both, one after the other.

python benchmarks/cpu_trainer.py
"""

import argparse
import contextlib
import dataclasses
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from study.preflight import cores
from study.protocols import LAPTOP
from trainables.config import PRECISIONS, TrialConfig
from trainables.data.cache import locate
from trainables.hardware import cpu_has_bf16

if TYPE_CHECKING:
    from trainables.model import VAE

TENTH = 10
"""A round is a tenth of a laptop trial: a tenth of its updates, its reports on a tenth of the rows."""


def main(words: list[str]) -> int:
    """Run the rounds, or one worker of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=LAPTOP.trial.batch_size)
    parser.add_argument("--precision", choices=PRECISIONS, default="bf16" if cpu_has_bf16() else "fp32")
    parser.add_argument("--worker", choices=["ours", "plain"], help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    config = trial(arguments.batch_size, arguments.precision)
    if arguments.worker:
        {"ours": ours, "plain": plain}[arguments.worker](config)
        return 0
    locate("dsprites")  # once, before the processes ask for it together
    print(f"{cores()} cores, {config.precision}, batch {config.batch_size}, {config.steps} updates a round")
    ratios = []
    for _ in range(arguments.rounds):
        fast, _ = rate("ours", config, processes=cores(), threads=1)
        slow, _ = rate("plain", config, processes=1, threads=cores())
        ratios.append(fast / slow)
        print(f"ours {fast:.1f} updates/s, plain {slow:.1f} updates/s: {ratios[-1]:.2f}", flush=True)
    print(f"ratio, median of {len(ratios)} rounds: {statistics.median(ratios):.2f}")
    return 0


def trial(batch_size: int, precision: str) -> TrialConfig:
    """A tenth of a laptop trial, of the family that costs more."""
    whole = LAPTOP.trial
    steps, ramp_steps = whole.steps // TENTH, whole.ramp_steps // TENTH
    return dataclasses.replace(whole, steps=steps, ramp_steps=ramp_steps, batch_size=batch_size, precision=precision)


def rate(worker: str, config: TrialConfig, processes: int, threads: int) -> tuple[float, float]:
    """Updates a second of all the processes together, and the CPU milliseconds of each update.

    From a common start to the last one's end. Other work on the machine changes the first far more than the second.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, __file__, "--worker", worker, "--precision", config.precision]
    command += ["--batch-size", str(config.batch_size)]
    started = [
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    for process in started:  # all have imported and warmed up
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"worker {worker} has died before its start")
    begin = time.perf_counter()
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    spent = sum(float(process.communicate()[0] or "nan") for process in started)
    codes = [process.wait() for process in started]
    seconds = time.perf_counter() - begin
    if any(codes):
        raise RuntimeError(f"worker {worker} has ended with codes {codes}")
    updates = processes * config.steps
    return updates / seconds, 1000 * spent / updates


def ours(config: TrialConfig) -> None:
    """One trial as in a study."""
    import torch

    from trainables import hardware
    from trainables.data.dataset import open_dataset
    from trainables.trainer import Trainer

    torch.set_num_threads(1)
    hardware.keep_freed_memory()
    whole = LAPTOP.evaluation
    evaluation = dataclasses.replace(
        whole,
        report_every=whole.report_every // TENTH,
        report_rows=whole.report_rows // TENTH,
        probe_rows=whole.probe_rows // TENTH,
    )
    dataset = open_dataset(locate("dsprites"))
    warm = Trainer(config, evaluation, dataset)
    for _ in range(5):
        warm.update()
    trainer = Trainer(config, evaluation, dataset)
    with _clocked():
        while not trainer.run_to_report().done:
            pass


def plain(config: TrialConfig) -> None:
    """The same network and objective, as one would write it first."""
    import torch

    from trainables import objectives
    from trainables.data.dataset import open_dataset

    dataset = open_dataset(locate("dsprites"))
    model = plain_model(config, dataset.image_shape)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)

    def update(step: int) -> None:
        rows = dataset.train_rows[torch.randint(len(dataset.train_rows), (config.batch_size,)).numpy()]
        images = torch.from_numpy(dataset.batch(rows))
        mean, log_std = model.encode(images)
        logits = model.decode(mean + log_std.exp() * torch.randn_like(mean))
        recon, kl = objectives.reconstruction_loss(logits, images), objectives.gaussian_kl(mean, log_std)
        optimizer.zero_grad()
        objectives.objective(recon, kl, step, config).backward()
        optimizer.step()

    for step in range(5):
        update(step)
    with _clocked():
        for step in range(config.steps):
            update(step)


def plain_model(config: TrialConfig, image_shape: tuple[int, ...]) -> "VAE":
    """The same network and weights of the library's own layers alone, channels first."""
    from torch import nn

    from trainables.model import VAE, Doubling, initialise

    model = VAE(image_shape, config.latents)
    for place, layer in enumerate(model.decoder):
        if isinstance(layer, Doubling):  # ours, and faster
            inputs, outputs = layer.weight.shape[:2]
            model.decoder[place] = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)
    initialise(model, config.init, config.seed)
    return model


@contextlib.contextmanager
def _clocked() -> Iterator[None]:
    """Begin with the others, and say at the end how many CPU seconds it took."""
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.process_time()
    yield
    print(time.process_time() - began, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
