"""The images with the highest outlier scores, as a contact sheet."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from vaekit.data.imageset import Pixels
from vaekit.output.contact_sheet import SheetEntry, contact_sheet
from vaekit.output.pictures import Bytes

SHOWN = 40
FLAGGED = 0.01
"""The false-alarm rate at which an image is called an outlier."""
NEARLY = 0.1
"""The false-alarm rate up to which a score is drawn in amber."""
RED, AMBER, GREY = (190, 42, 36), (176, 112, 0), (112, 112, 112)

Number = float | None


class Strangest:
    """Keeps the images with the highest outlier scores of a stream, and counts the outliers."""

    def __init__(self, part: str, known: int) -> None:
        self.part, self.known = part, known
        """Where the known images come from, `validation` or `training`, and their number."""
        self.count = self.flagged = 0
        self._kept: list[tuple[float, int, Number, str, Bytes]] = []

    def add(
        self, images: Pixels, names: Sequence[object], numbers: Mapping[str, Sequence[Number]]
    ) -> None:
        """Add images with their `outlier` and `false_alarm_rate`."""
        rows = zip(names, numbers["outlier"], numbers["false_alarm_rate"], images, strict=True)
        for name, score, rate, image in rows:
            self.count += 1
            self.flagged += is_outlier(rate)
            strange = float("inf") if score is None else score
            entry = (strange, -self.count, rate, str(name), image)
            heapq.heappush(self._kept, entry)
            if len(self._kept) > SHOWN:
                heapq.heappop(self._kept)

    def summary(self) -> str:
        """How many outliers there are, and how many false alarms would be expected.

        Fewer than 99 known images give no rate of 1 percent.

        >>> Strangest("training", 9).summary().partition(":")[0]
        'no image can be called an outlier at a rate of 1%'
        """
        if (self.known + 1) * FLAGGED < 1:
            more = ", and new images exceed the rates" if self.part == "training" else ""
            return (
                f"no image can be called an outlier at a rate of {FLAGGED:.0%}: the model knows "
                f"{self.known:,} {self.part} images, too few for a rate under "
                f"{1 / (self.known + 1):.1%}{more}"
            )
        found = f"{self.flagged:,} of {self.count:,} images are outliers"
        if self.part == "training":
            return (
                f"{found}; of the {self.known:,} training images that the model knows, "
                f"{FLAGGED:.0%} would be, and more of new ones"
            )
        most = highest_rate(FLAGGED, self.known)
        return (
            f"{found}; of images like the {self.known:,} {self.part} images, {FLAGGED:.0%} would "
            f"be, up to {most:.1%} by chance"
        )

    def legend(self) -> str:
        """What the colours say, of those that the sheet has."""
        colours = {_colour(rate) for _, _, rate, _, _ in self._kept}
        red = f"Red: outliers, at a rate of {FLAGGED:.0%} or less. " if RED in colours else ""
        amber = f"Amber: {NEARLY:.0%} or less. " if AMBER in colours else ""
        return red + amber

    def sheet(self) -> Bytes:
        """The strangest images, the strangest first."""
        entries = [
            SheetEntry(image.copy(), f"{score:,.1f}", _colour(rate), (_rate(rate), name))
            for score, _, rate, name, image in sorted(self._kept, key=lambda kept: kept[:2])[::-1]
        ]
        cut = len(entries) < self.count
        title = "The strangest images" if cut else "Images by outlier score"
        summary = self.summary()
        ends = f"{self.legend()}{summary[0].upper()}{summary[1:]}."
        about = f"Outlier score and false-alarm rate. {ends}"
        return contact_sheet(entries, title, about)


def highest_rate(rate: float, known: int) -> float:
    """The share of false alarms that 95 of 100 sets of known images do not exceed.

    A rate is right on average over sets of known images. The share beyond the k-th largest score of
    one set of n is a draw from Beta(k, n + 1 − k) (Vovk 2012, arXiv:1209.2673).

    >>> [round(highest_rate(0.01, n), 4) for n in (99, 1000, 4096)]
    [0.0298, 0.0157, 0.0124]
    """
    from scipy.special import betaincinv

    rank = int(rate * (known + 1) + 1e-9)
    return float(betaincinv(rank, known + 1 - rank, 0.95))


def is_outlier(rate: Number) -> bool:
    """Whether the false-alarm rate is 1 percent or less; None stands for a NaN score."""
    return rate is None or rate <= FLAGGED


def _colour(rate: Number) -> tuple[int, int, int]:
    if is_outlier(rate):
        return RED
    return AMBER if rate is not None and rate <= NEARLY else GREY


def _rate(rate: Number) -> str:
    """A false-alarm rate in two digits.

    >>> _rate(0.0002439), _rate(0.42), _rate(1.0), _rate(None)
    ('rate 0.024%', 'rate 42%', 'rate 100%', 'rate unknown')
    """
    if rate is None:
        return "rate unknown"
    return f"rate {rate:.0%}" if rate >= 0.1 else f"rate {100 * rate:.2g}%"
