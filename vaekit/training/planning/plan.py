"""Plans a run without training it: memory, images, steps and time."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace

from vaekit.configuration.config import RunConfig
from vaekit.machine import devices
from vaekit.machine.ranks import ALONE, Ranks, joined, place
from vaekit.reporting import SILENT, Reporter
from vaekit.training.initial_weights import inherited
from vaekit.training.memory_needs import Footprint, footprint, refuse_too_large
from vaekit.training.planning.like_runs import LikeRun, find_like_run
from vaekit.training.planning.probe import Probe, probe
from vaekit.training.rank_division import refuse_uneven
from vaekit.training.run import device_of_run, prepare
from vaekit.training.run_length import RunLength, run_length


@dataclass(frozen=True)
class ExpectedTime:
    """How long the steps and the validation of a run will take, in seconds, and who says so."""

    train: float
    validation: float | None
    """None where it was not measured, or where there is none."""
    images_per_second: float
    timed_by: str
    """`probe`, or the folder of a like run."""


@dataclass(frozen=True)
class RunPlan:
    """All that is known of a run before it trains."""

    config: RunConfig
    """With every default filled in."""
    need: Footprint
    """Of each process."""
    device: str
    processes: int
    image: tuple[int, int, int]
    n_train: int
    n_val: int
    length: RunLength
    measured: Probe | None
    time: ExpectedTime | None

    @property
    def store_bytes(self) -> int:
        """The decoded images of training and validation: what they take in the cache."""
        height, width, channels = self.image
        return (self.n_train + self.n_val) * height * width * channels


def plan_run(config: RunConfig, reporter: Reporter = SILENT, *, measure: bool = False) -> RunPlan:
    """The plan of a run; only the cache is written to.

    `measure` trains a few steps in memory; then every rank must come here, as each takes part.
    """
    with joined() if measure else nullcontext(ALONE) as ranks:
        world = place().world
        refuse_uneven(config, world)
        device = device_of_run(config, Ranks(place()))
        with ranks.host_leads():
            config, data = prepare(inherited(config), reporter)
        image = data.train.image_shape
        refuse_too_large(config, image, device)
        measured = probe(config, data, device, reporter, ranks) if measure else None
    plan = RunPlan(
        config=config,
        need=footprint(config, image, world),
        device=devices.describe_device(device),
        processes=world,
        image=image,
        n_train=len(data.train),
        n_val=0 if data.val is None else len(data.val),
        length=run_length(config, len(data.train)),
        measured=measured,
        time=None,
    )
    if measured is not None:
        return replace(plan, time=_by_probe(plan, measured))
    like = find_like_run(config, image, device, world)
    return plan if like is None else replace(plan, time=_by_like_run(plan, like))


def _by_probe(plan: RunPlan, measured: Probe) -> ExpectedTime:
    validation = measured.validation_seconds
    train = measured.start_seconds + plan.length.steps * measured.step_seconds
    speed = plan.n_train / (plan.length.steps_per_epoch * measured.step_seconds)
    whole = None if validation is None else plan.length.epochs * validation
    return ExpectedTime(train, whole, speed, "probe")


def _by_like_run(plan: RunPlan, like: LikeRun) -> ExpectedTime:
    train = plan.length.epochs * plan.n_train / like.images_per_second
    return ExpectedTime(train, None, like.images_per_second, str(like.folder))
