"""What a user would lose: curves and scatters that show what was measured, and can be read."""

from __future__ import annotations

import math
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from PIL import Image

from vaekit.errors import UsageError
from vaekit.output.plot_style import figure_pixels
from vaekit.output.plots import (
    latent_figure,
    latent_scatter,
    loss_curves,
    loss_figure,
    readable_limits,
)
from vaekit.output.scatter import CLASS_COLOURS, NAMED_CLASSES

NAMES = ["airplane", "automobile", "bird"]


def run(count: int, *, start: int = 1, validation: bool = True, first: float = 0) -> list[dict]:
    records = []
    for epoch in range(start, start + count):
        reconstruction = 100 + 50 / epoch + first * (epoch == start)
        terms = {"reconstruction": reconstruction, "kl": 25 - 10 / epoch}
        terms["neg_elbo"] = terms["reconstruction"] + terms["kl"]
        record = {"epoch": epoch} | {f"train_{name}": value for name, value in terms.items()}
        if validation:
            record |= {f"val_{name}": value + 1 for name, value in terms.items()}
        records.append(record)
    return records


def cloud(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 2))


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def assert_unclipped(figure: Figure) -> None:
    """Everything drawn lies in the figure, and some white is left at each edge."""
    picture = figure_pixels(figure)
    box, inside = figure.get_tightbbox(), figure.bbox_inches
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= inside.x1
    assert box.y1 <= inside.y1
    edges = (picture[0], picture[-1], picture[:, 0], picture[:, -1])
    assert all((edge == 255).all() for edge in edges)


@pytest.mark.parametrize("count", [1, 2, 5, 50, 1000])
def test_each_term_has_a_panel_with_what_was_recorded(count):
    figure = loss_figure(run(count), title="digits")
    assert [axes.get_title("left") for axes in figure.axes] == [
        "−ELBO",
        "Reconstruction",
        "KL divergence",
    ]
    for axes, term in zip(figure.axes, ["neg_elbo", "reconstruction", "kl"], strict=True):
        for line, part in zip(axes.lines[:2], ["train", "val"], strict=True):
            assert list(line.get_xdata()) == [record["epoch"] for record in run(count)]
            assert list(line.get_ydata()) == [record[f"{part}_{term}"] for record in run(count)]
    kept = [f"kept: epoch {count}"] if count > 1 else []
    assert texts(figure) == ["training", "validation", *kept]
    assert figure.axes[0].get_ylabel() == "nats per image"
    assert_unclipped(figure)


def test_a_line_in_every_panel_marks_the_epoch_whose_weights_are_kept():
    records = run(6)
    records[3]["val_neg_elbo"] -= 50
    figure = loss_figure(records)
    assert [list(axes.lines[2].get_xdata()) for axes in figure.axes] == [[4, 4]] * 3
    assert texts(figure)[-1] == "kept: epoch 4"
    assert [len(axes.lines) for axes in loss_figure(run(6, validation=False)).axes] == [1] * 3


@pytest.mark.parametrize("count", [1, 2, 3, 7, 50, 1000])
@pytest.mark.parametrize("start", [0, 1, 120])
def test_epochs_are_whole_numbers_that_were_run(count, start):
    axes = loss_figure([record | {"epoch": i + start} for i, record in enumerate(run(count))]).axes[
        0
    ]
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert ticks
    assert all(tick == round(tick) and start <= tick < start + count for tick in ticks)


def test_a_single_epoch_is_a_dot_that_can_be_seen():
    (train, val) = loss_figure(run(1)).axes[0].lines
    assert train.get_marker() == val.get_marker() == "o"
    assert train.get_markersize() >= 4


def test_without_validation_there_is_one_line_and_no_word_of_it():
    figure = loss_figure(run(10, validation=False))
    assert [len(axes.lines) for axes in figure.axes] == [1, 1, 1]
    assert texts(figure) == ["training"]


def test_epochs_without_a_number_are_left_out():
    records = run(4)
    records[1]["val_kl"] = math.nan
    records[2]["val_kl"] = None
    kl = loss_figure(records).axes[2].lines[1]
    assert list(kl.get_xdata()) == [1, 4]


def test_a_term_of_zero_is_a_number():
    records = [{"epoch": 1, "train_kl": 0.0}, {"epoch": 2, "train_kl": 0.0}]
    figure = loss_figure(records)
    assert list(figure.axes[2].lines[0].get_ydata()) == [0, 0]
    assert_unclipped(figure)


@pytest.mark.parametrize("records", [[], [{"epoch": 1}], [{"epoch": 1, "train_kl": math.inf}]])
def test_a_plot_without_any_numbers_can_be_drawn(records):
    assert_unclipped(loss_figure(records))


@pytest.mark.parametrize("count", [3, 10, 50])
def test_a_wild_first_epoch_does_not_press_the_rest_flat(count):
    axes = loss_figure(run(count, first=1e6)).axes[1]
    low, high = axes.get_ylim()
    settled = [record["train_reconstruction"] for record in run(count, first=1e6)[1:]]
    assert low < min(settled)
    assert high > settled[1]
    assert high < 200
    assert axes.get_title("right") == "cut off: up to 1e+06"


@pytest.mark.parametrize("count", [1, 2, 5, 20])
def test_an_ordinary_run_is_shown_whole(count):
    for axes in loss_figure(run(count)).axes:
        low, high = axes.get_ylim()
        values = np.concatenate([line.get_ydata() for line in axes.lines[:2]])
        assert low < values.min()
        assert values.max() < high
        assert axes.get_title("right") == ""


def test_limits_cut_below_as_well():
    low, high = readable_limits([np.array([-500.0, 1.0, 2.0, 3.0, 4.0])])
    assert (low, high) == (1, 4)


def test_a_long_unit_note_fits():
    note = "nats per image; binary cross-entropy on grey levels, which is not a likelihood"
    figure = loss_figure(
        run(5), unit_note=note, title="shapes with a rather long name, resnet, beta 4"
    )
    assert figure.axes[0].get_ylabel().replace("\n", " ") == note
    assert_unclipped(figure)


def test_classes_keep_colour_and_name_and_stand_in_order():
    figure = latent_figure(cloud(6), labels=[2, 0, 2, 0, 2, 0], classes=NAMES)
    assert texts(figure) == ["airplane", "bird"]
    shown = [to_hex(handle.get_color()) for handle in figure.legends[0].legend_handles]
    assert shown == [CLASS_COLOURS[0], CLASS_COLOURS[2]]


def test_each_point_has_the_colour_of_its_class():
    points, labels = cloud(50), np.arange(50) % 3
    (dots,) = [
        c for c in latent_figure(points, labels=labels).axes[0].collections if len(c.get_offsets())
    ]
    where = {
        tuple(point): to_hex(colour)
        for point, colour in zip(dots.get_offsets(), dots.get_facecolors(), strict=True)
    }
    assert where == {
        tuple(p): CLASS_COLOURS[label] for p, label in zip(points, labels, strict=True)
    }


def test_twenty_classes_differ_in_colour_or_marker():
    figure = latent_figure(cloud(200), labels=np.arange(200) % NAMED_CLASSES)
    handles = figure.legends[0].legend_handles
    assert len({(to_hex(h.get_color()), h.get_marker()) for h in handles}) == 20
    assert texts(figure) == [str(number) for number in range(20)]
    assert_unclipped(figure)


@pytest.mark.parametrize("count", [21, 100])
def test_more_classes_are_coloured_on_a_scale(count):
    names = [f"class {number}" for number in range(count)]
    figure = latent_figure(cloud(500), labels=np.arange(500) % count, classes=names)
    assert figure.legends == []
    scale = figure.axes[1]
    assert scale.get_ylabel() == f"{count} classes"
    assert_unclipped(figure)
    assert {tick.get_text() for tick in scale.get_yticklabels()} - {""} <= set(names)


def test_many_letters_are_drawn_as_themselves_and_need_no_scale():
    names, points = list("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"), cloud(360)
    figure = latent_figure(points, labels=np.arange(360) % 36, classes=names)
    drawn = figure.axes[0].collections
    assert (len(figure.axes), figure.legends, len(drawn)) == (1, [], 36)
    for number, letter in enumerate(drawn):
        assert sorted(map(tuple, letter.get_offsets())) == sorted(map(tuple, points[number::36]))
        written = TextPath((0, 0), names[number], size=1, prop=FontProperties(weight="bold"))
        found = letter.get_paths()[0]
        assert np.array_equal(found.codes, written.codes)
        a, b = (path.vertices - path.get_extents().get_points()[0] for path in (found, written))
        assert np.allclose(a / np.abs(a).max(), b / np.abs(b).max())
    assert_unclipped(figure)


def test_quantities_are_coloured_on_a_scale():
    values = np.linspace(0.5, 1.5, 30)
    figure = latent_figure(cloud(30), labels=values)
    drawn = figure.axes[0].collections[0]
    assert sorted(drawn.get_array()) == sorted(values)
    assert len(figure.axes) == 2


def test_labels_may_be_names_or_missing():
    assert texts(latent_figure(cloud(4), labels=["dog", "cat", "dog", "$5"])) == [
        "$5",
        "cat",
        "dog",
    ]
    assert texts(latent_figure(cloud(3), labels=[-1, 0, 1], classes=NAMES)) == [
        "unlabelled",
        *NAMES[:2],
    ]
    assert_unclipped(latent_figure(cloud(3), labels=["_", "__", "x" * 100]))


def test_a_name_that_the_font_lacks_gives_no_warning():
    assert figure_pixels(latent_figure(cloud(2), labels=["漢字", "猫"])).shape == (900, 1080, 3)


def test_names_stand_at_their_classes_only_where_there_is_room():
    labels = np.repeat([0, 1], 20)
    apart = np.array([[0.0, 0.0], [50.0, 0.0]])[labels] + cloud(40)
    figure = latent_figure(apart, labels=labels, classes=NAMES)
    placed = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    assert placed == {NAMES[i]: tuple(np.median(apart[labels == i], axis=0)) for i in (0, 1)}
    together = np.repeat(cloud(20), 2, axis=0)
    assert not latent_figure(together, labels=np.arange(40) % 2, classes=NAMES).axes[0].texts


@pytest.mark.parametrize("labels", [[0, 1, 1, 1], ["one", "many", "many", "many"]])
def test_a_name_does_not_cover_the_only_dot_of_its_class(labels):
    points = np.array([[0.0, 0.0], [40.0, 0.0], [50.0, 9.0], [60.0, -5.0]])
    figure = latent_figure(points, labels=labels, classes=["one", "many"])
    assert [text.get_text() for text in figure.axes[0].texts] == ["many"]
    assert sorted(texts(figure)) == ["many", "one"]
    alone = latent_figure(points[:1], labels=[8], classes=None)
    assert not alone.axes[0].texts
    assert texts(alone) == ["8"]


def test_without_labels_there_is_one_colour_and_no_legend():
    figure = latent_figure(cloud(30), title="latents", axes=("first", "second"))
    assert figure.legends == []
    assert len(figure.axes[0].collections[0].get_facecolors()) == 1
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("first", "second")
    assert_unclipped(figure)


def test_dots_shrink_as_they_grow_many():
    sizes = [
        latent_figure(cloud(n)).axes[0].collections[0].get_sizes()[0] for n in (5, 1000, 20_000)
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 5 * sizes[-1]


def test_one_unit_is_as_long_across_as_up():
    figure = latent_figure(cloud(50) * [10, 1], labels=np.arange(50) % 3, classes=NAMES)
    figure_pixels(figure)
    axes = figure.axes[0]
    (x0, y0), (x1, y1) = axes.transData.transform([(0, 0), (1, 1)])
    assert x1 - x0 == pytest.approx(y1 - y0, rel=1e-2)


@pytest.mark.parametrize(
    "points", [np.zeros((1, 2)), np.zeros((9, 2)), np.array([[1.0, 0], [2, 0], [5, 0]])]
)
def test_points_on_a_spot_or_a_line_can_be_drawn(points):
    assert_unclipped(latent_figure(points, labels=np.zeros(len(points), int)))


def test_points_that_are_not_finite_are_left_out():
    points = cloud(5)
    points[1, 0] = np.nan
    figure = latent_figure(points, labels=[0, 7, 0, 1, 1])
    assert texts(figure) == ["0", "1"]


@pytest.mark.parametrize(
    ("points", "labels"),
    [
        (np.zeros((0, 2)), None),
        (np.zeros((3, 3)), None),
        (np.full((3, 2), np.nan), None),
        (np.zeros((3, 2)), [0, 1]),
    ],
)
def test_points_that_cannot_be_a_scatter_are_refused(points, labels):
    with pytest.raises(UsageError):
        latent_figure(points, labels=labels)


def test_files_open_at_a_sane_size_and_are_equal_every_time(tmp_path):
    for name in ("a.png", "b.png"):
        loss_curves(run(20), tmp_path / name, title="digits")
        latent_scatter(
            cloud(100), tmp_path / f"z-{name}", labels=np.arange(100) % 10, title="digits"
        )
    for name, size in {"a.png": (1620, 510), "z-a.png": (1080, 900)}.items():
        with Image.open(tmp_path / name) as picture:
            assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", size)
        assert (tmp_path / name).read_bytes() == (tmp_path / name.replace("a.", "b.")).read_bytes()


def test_the_callers_own_matplotlib_settings_change_nothing_and_are_left_alone():
    before = figure_pixels(loss_figure(run(5)))
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "figure.dpi": 40}):
        assert np.array_equal(figure_pixels(loss_figure(run(5))), before)
        assert matplotlib.rcParams["font.size"] == 30
        assert matplotlib.rcParams["figure.dpi"] == 40


def test_plots_need_neither_pyplot_nor_torch():
    code = (
        "import sys; from vaekit.output import plots;"
        "plots.figure_pixels(plots.loss_figure([{'epoch': 1, 'train_kl': 1.0}]));"
        "print({'torch', 'sklearn', 'matplotlib.pyplot'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
