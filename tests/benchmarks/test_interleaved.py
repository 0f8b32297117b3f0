"""Ratios are fair: contenders alternate, medians are right, rivals have the same network."""

from __future__ import annotations

import json
import threading

import pytest
import torch

from tests.benchmarks import report
from tests.benchmarks.interleaved import Claim, Ratio, Subject, interleave, ratio, values
from tests.benchmarks.rivals import networks, steady
from tests.benchmarks.together import slower_of_two
from tests.benchmarks.works import WORKS, made


def test_contenders_take_turns_and_the_first_round_does_not_count() -> None:
    order: list[str] = []

    def contender(name: str) -> dict[str, float]:
        order.append(name)
        return {"value": float(len(order))}

    contenders = {"a": lambda: contender("a"), "b": lambda: contender("b")}
    runs = interleave(contenders, 2, lambda _: None)
    assert order == ["a", "b", "a", "b", "a", "b"]
    assert {name: values(series) for name, series in runs.items()} == {"a": [3, 5], "b": [4, 6]}
    cold = interleave(contenders, 1, lambda _: None, warm_up=False)
    assert {name: values(series) for name, series in cold.items()} == {"a": [7], "b": [8]}


def test_ratios_are_of_medians_and_of_pairs() -> None:
    assert ratio([2, 30, 4], [1, 10, 8]) == Ratio(of_medians=0.5, of_pairs=2, lowest=0.5, highest=3)
    assert ratio([5, 7], [2, 2]) == Ratio(of_medians=3, of_pairs=3, lowest=2.5, highest=3.5)


def test_the_record_has_the_ratios_and_the_circumstances() -> None:
    claims = [Claim("ours", "theirs", "at least 2"), Claim("ours")]
    runs = {"ours": [{"value": 6.0}], "theirs": [{"value": 2.0}]}
    record = report.record("name", Subject("images/s", {}, claims), runs, {"threads": 1})
    first, second = json.loads(json.dumps(record))["ratios"]
    assert (first["of_medians"], first["to"], first["goal"]) == (3, "theirs", "at least 2")
    assert (second["of_medians"], second["to"]) == (6, None)
    assert torch.__version__.startswith(record["versions"]["torch"])
    assert record["machine"]["cores"] >= 1


def test_throughput_leaves_out_the_first_two_epochs() -> None:
    marks = steady.Epochs()
    marks.ends = [100.0, 150.0, 152.0, 154.0]
    assert marks.measured(images=10) == {"value": 5.0}


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_rivals_have_a_network_of_the_same_size(work) -> None:
    from tests.benchmarks.rivals.bare_loop import network
    from tests.benchmarks.rivals.plain_loop import PlainVAE
    from vaekit.models.vae import parameter_count

    assert parameter_count(PlainVAE(work)) == parameter_count(network(work))
    x = torch.rand(2, work.image[2], *work.image[:2])
    assert networks.parts(work).decoder(torch.zeros(2, work.latent_dim)).shape == x.shape


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_flags_ask_for_the_network_that_the_rivals_have(work) -> None:
    from vaekit.models.settings import resolve_settings

    assert work.flags[:2] == ["--model", work.model]
    for name, value in work.settings.items():
        assert work.flags[work.flags.index(f"--{name}") + 1] == ",".join(map(str, value))
    assert made(3, work.image).shape == (3, *work.image)
    if work.model == "conv":
        assert work.flags[-2:] == ["--upsampling", "transposed"]
    defaults = resolve_settings("conv", WORKS["conv"].image, {})
    assert defaults["channels"] == WORKS["conv"].settings["channels"]
    assert defaults["norm"] == "batch"


def test_of_two_runs_at_once_the_slower_one_counts() -> None:
    both = threading.Barrier(2, timeout=10)
    speeds = iter([30.0, 20.0])

    def run() -> dict[str, float]:
        both.wait()  # breaks unless both run at the same time
        return {"value": next(speeds)}

    assert slower_of_two(run) == {"value": 20.0, "faster": 30.0}
