"""The part of the ranks other than 0: the same steps from the same state, and no files."""

from __future__ import annotations

import dataclasses

from vaekit.errors import DataError
from vaekit.machine.ranks import Ranks
from vaekit.training.loop import Progress, Trainer
from vaekit.training.run_files.checkpoint import restore, tensors_of
from vaekit.training.stop_signals import StopRequest


def share_state(trainer: Trainer, ranks: Ranks) -> None:
    """Give every rank the weights, the optimizer and the position of rank 0."""
    if not ranks.several:
        return
    if ranks.is_first:
        progress = dataclasses.asdict(trainer.progress)
        ranks.send("state", {"progress": progress, "best": trainer.best_state is not None})
    state = ranks.receive("state")
    if state["best"] and trainer.best_state is None:
        trainer.best_state = {
            name: tensor.detach().clone()
            for name, tensor in trainer.eval_network.state_dict().items()
        }
    # Sorted, since the best weights are in the order of a file where a checkpoint had them.
    own = sorted(tensors_of(trainer).items())
    tensors = {name: ranks.of_first(tensor) for name, tensor in own}
    if not ranks.is_first:
        restore(trainer, tensors, Progress(**state["progress"]))


def refuse_other_images(ranks: Ranks, fingerprint: str) -> None:
    """Refuse to train on other images than rank 0, such as another version on another host."""
    if ranks.is_first:
        ranks.send("images", fingerprint)
    elif (first := ranks.receive("images")) != fingerprint:
        raise DataError(
            f"its images are not those of rank 0 (fingerprint {fingerprint[:12]}, there "
            f"{first[:12]}); give every host the same data set"
        )


def follow(trainer: Trainer) -> None:
    """Take part in every step and every validation until the run ends or stops."""
    with StopRequest() as stop:
        while not trainer.finished:
            for indices in trainer.epoch_batches():
                trainer.step(indices)
                if trainer.agrees_to_stop(stop.requested):
                    raise stop.error("stopped with rank 0")
            trainer.end_epoch()
