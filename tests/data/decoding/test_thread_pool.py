"""Threads return results in the order of the items."""

from __future__ import annotations

import threading
import time

import pytest

from vaekit.data.decoding import thread_pool
from vaekit.data.decoding.thread_pool import in_order


@pytest.fixture
def photos(fill_folder, picture):
    return fill_folder({f"{n}.png": picture(n, (8, 8), mode="L") for n in range(20)}, "photos")


@pytest.fixture
def four(monkeypatch):
    monkeypatch.setattr(thread_pool, "workers", lambda: 4)


@pytest.mark.usefixtures("four")
def test_results_keep_the_order_of_the_items():
    def work(number):
        time.sleep(0.002 * (number % 3))
        return number

    assert list(in_order(work, range(100))) == list(range(100))


@pytest.mark.usefixtures("four")
def test_a_failure_ends_the_work_after_the_results_before_it():
    done = []

    def work(number):
        if number == 20:
            raise ValueError("no")
        done.append(number)
        return number

    got = []
    with pytest.raises(ValueError, match="no"):
        got.extend(in_order(work, range(1000)))
    assert got == list(range(20))
    assert len(done) < 100


@pytest.mark.usefixtures("four")
def test_items_are_taken_only_a_few_ahead():
    taken = []

    def items():
        for number in range(1000):
            taken.append(number)
            yield number

    results = in_order(lambda number: number, items())
    next(results)
    assert len(taken) <= 3 * 4 + 2
    results.close()


@pytest.mark.usefixtures("four")
def test_finished_results_do_not_wait_for_a_late_item():
    """A list that is still being made must not hold back what it has already named."""
    late, in_time = threading.Event(), []

    def items():
        yield "first"
        time.sleep(0.2)  # the first is long done
        yield "second"
        in_time.append(late.wait(5))

    results = in_order(lambda item: item, items())
    assert next(results) == "first"
    late.set()
    assert list(results) == ["second"]
    assert in_time == [True]


def decoding():
    """How many threads there are while something is decoded."""
    seen = set()

    def work(number):
        time.sleep(0.002)
        seen.add(threading.get_ident())

    list(in_order(work, range(40)))
    return len(seen)


@pytest.mark.parametrize("count", [1, 2])
def test_no_more_threads_decode_than_the_user_allows(monkeypatch, count):
    """`--threads 1` on a machine that others use."""
    monkeypatch.setattr(thread_pool, "_cores", lambda: 8)
    with thread_pool.at_most(count):
        assert decoding() == count
    assert decoding() > 2


@pytest.mark.parametrize(
    "line",
    [["train", "--dataset", "photos", "--epochs", "1", "-o", "run"], ["embed", "MODEL", "photos"]],
)
def test_threads_bounds_the_decoding_of_commands(cli, tiny_model, photos, monkeypatch, line):
    seen = []
    count = thread_pool.workers
    monkeypatch.setattr(thread_pool, "workers", lambda: seen.append(count()) or 1)
    monkeypatch.setattr(thread_pool, "_cores", lambda: 8)
    arguments = [tiny_model if word == "MODEL" else word for word in line]
    assert cli(*arguments, "--threads", "3").code == 0
    assert set(seen) == {3}
    seen.clear()
    assert cli("embed", tiny_model, photos).code == 0
    assert set(seen) == {8}
