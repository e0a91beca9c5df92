"""What the figures show: data in the artists, ticks in s, Hz and mV, names and caveats."""

import base64
import io
import itertools

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display
from IPython.utils.capture import capture_output
from matplotlib.colors import to_rgb
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score

from ecglib import plots
from ecglib.datasets.schema import SignalSpec
from ecglib.errors import EcgError
from ecglib.evaluation.contestants import CONTESTANT_ROLES
from ecglib.explain import BeatWindows, attribute_by_gradient, average_beats
from ecglib.explain.examples import make_class_score, make_explanation

TWELVE_LEADS = ["I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6"]


def read_texts(fig) -> list[str]:
    """All texts of a figure, legends included."""
    fig.canvas.draw()
    return [t.get_text() for t in fig.findobj(mpl.text.Text) if t.get_text()]


def find_line(ax, label: str):
    (found,) = (one for one in ax.lines if one.get_label() == label)
    return found


def make_beat_average():
    """The gradient of an untrained model, averaged over one beat of each of two windows."""
    target = make_class_score()
    windows = BeatWindows(
        signal_mv=target.inputs["signal"],
        signal=SignalSpec(100.0, 200, ("I", "II"), around_beats=True, beat_s=1.0),
        patients=np.array(["a", "b"]),
    )
    return average_beats(attribute_by_gradient(target)["signal"], windows)


Y = np.eye(3)[[0, 1, 2, 0, 1, 2]]
P = np.clip(Y * 0.5 + 0.2, 0, 1)
ESTIMATE = {"estimate": [0.9], "low": [0.8], "high": [0.95]}
DRAW = {
    "ecg": lambda caveat: plots.plot_ecg(np.zeros((100, 1)), 100, ["I"], caveat=caveat),
    "prediction": lambda caveat: plots.plot_prediction(
        np.zeros((100, 1)),
        100,
        ["I"],
        plots.PredictedClasses(probabilities={"N": 0.7, "V": 0.3}, decisions=["N"]),
        caveat=caveat,
    ),
    "class_balance": lambda caveat: plots.plot_class_balance(
        pd.DataFrame({"train": [5, 0], "test": [2, 3]}, index=["NORM", "MI"]), caveat=caveat
    ),
    "representations": lambda caveat: plots.plot_representations(
        {"time": np.zeros((9, 1))},
        {"time": {"time_s": np.arange(9)}},
        {"time": "mV"},
        caveat=caveat,
    ),
    "history": lambda caveat: plots.plot_history(
        pd.DataFrame({"epoch": [0], "loss": [1], "val_loss": [1], "val_auroc": [0.5]}),
        caveat=caveat,
    ),
    "roc_and_pr": lambda caveat: plots.plot_roc_and_pr(Y, P, list("abc"), caveat=caveat),
    "reliability": lambda caveat: plots.plot_reliability(Y, P, list("abc"), caveat=caveat),
    "confusion": lambda caveat: plots.plot_confusion(Y, Y, list("abc"), caveat=caveat),
    "scores": lambda caveat: plots.plot_scores(
        pd.DataFrame(ESTIMATE | {"name": ["a"], "role": ["single"]}), caveat=caveat
    ),
    "verdicts": lambda caveat: plots.plot_verdicts(
        pd.DataFrame(ESTIMATE | {"fusion": ["a"], "kind": ["single"], "word": ["adds"]}),
        caveat=caveat,
    ),
    "class_losses": lambda caveat: plots.plot_class_losses(
        pd.DataFrame(
            {"title": ["Clipping"] * 2, "model": ["a"] * 2, "class": ["MI", "AF"]}
            | {"loss": [0.1, 0.0], "low": [0.05, np.nan], "high": [0.2, np.nan]}
        ),
        "AUROC",
        caveat,
    ),
    "beat_average": lambda caveat: plots.plot_beat_average(make_beat_average(), caveat=caveat),
    "explanation": lambda caveat: plots.plot_explanation(
        make_explanation((caveat,) if caveat else ())
    ),
    "severity_curves": lambda caveat: plots.plot_severity_curves(
        pd.DataFrame(
            {"title": ["Clipping"] * 2, "model": ["a"] * 2, "severity": [np.nan, 0.5]}
            | {"unit": ["mV"] * 2, "score": [0.9, 0.8], "low": [0.8, 0.7], "high": [0.95, 0.9]}
        ),
        "macro AUROC",
        caveat=caveat,
    ),
    "learning_curves": lambda caveat: plots.plot_learning_curves(
        [pd.DataFrame({"epoch": [1, 2], "val_auroc": [0.5, 0.6]})], caveat=caveat
    ),
}


def test_every_figure_is_among_those_drawn_here():
    assert {f"plot_{name}" for name in DRAW} == {n for n in plots.__all__ if n.startswith("plot_")}


def test_every_role_has_a_style():
    assert set(plots.ROLE_STYLES) == set(CONTESTANT_ROLES)


@pytest.mark.parametrize("name", DRAW)
def test_every_figure_is_closed_and_has_the_caveat(name, tmp_path):
    fig = DRAW[name]("synthetic data")
    assert plt.get_fignums() == []
    assert "synthetic data" in read_texts(fig)
    assert "synthetic data" not in read_texts(DRAW[name](""))
    fig.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 0


@pytest.mark.parametrize("name", DRAW)
def test_jupyter_gets_a_sharp_picture_with_alternative_text(name):
    InteractiveShell.instance()
    with capture_output() as captured:
        display(DRAW[name]("synthetic data"))
    (output,) = captured.outputs
    picture = Image.open(io.BytesIO(base64.b64decode(output.data["image/png"])))
    shown = output.metadata["image/png"]
    assert picture.size == pytest.approx((2 * shown["width"], 2 * shown["height"]), abs=1)
    assert len(shown["alt"].split()) > 4
    assert shown["alt"].endswith(".")


def test_ecg_paper_has_the_usual_squares_in_true_size():
    fig = plots.plot_ecg(np.zeros((1000, 12)), 100, TWELVE_LEADS)
    (ax,) = fig.axes
    np.testing.assert_allclose(np.diff(ax.get_xticks()), 0.2)
    np.testing.assert_allclose(np.diff(ax.get_yticks()), 0.5)
    for axis, small, large in ((ax.xaxis, 0.04, 0.2), (ax.yaxis, 0.1, 0.5)):
        lines = np.concatenate([axis.get_minorticklocs(), axis.get_majorticklocs()])
        low, high = sorted(axis.get_view_interval())
        lines = np.unique(lines[(lines > low) & (lines < high)].round(6))
        np.testing.assert_allclose(np.unique(np.diff(lines).round(6)), small)
        np.testing.assert_allclose(np.diff(axis.get_majorticklocs()), large)
    box = ax.get_window_extent()
    seconds, millivolts = np.diff(ax.get_xlim())[0], np.diff(ax.get_ylim())[0]
    assert box.width / fig.dpi * 25.4 / seconds == pytest.approx(25)
    assert box.height / fig.dpi * 25.4 / millivolts == pytest.approx(10)
    labels = [t.get_text() for t in ax.get_xticklabels() if t.get_text()]
    assert labels == [str(s) for s in range(11)]


def test_ecg_shows_twelve_leads_in_four_columns_over_a_rhythm_strip():
    order = [*TWELVE_LEADS[6:], *TWELVE_LEADS[:6]]
    signal = np.random.default_rng(0).normal(0, 0.2, (1000, 12))
    (ax,) = plots.plot_ecg(signal, 100, order).axes
    starts = {"I": 0.0, "AVR": 2.5, "V2": 5.0, "V6": 7.5}
    for name, start_s in starts.items():
        drawn = find_line(ax, name)
        first = round(start_s * 100)
        np.testing.assert_allclose(drawn.get_xdata(), np.arange(first, first + 250) / 100)
        offset = drawn.get_ydata() - signal[first : first + 250, order.index(name)]
        np.testing.assert_allclose(offset, offset[0])
        assert (2 * offset[0]) % 1 == pytest.approx(0, abs=1e-9)
    strip = [one for one in ax.lines if one.get_label() == "II"]
    assert [len(one.get_xdata()) for one in strip] == [250, 1000]


@pytest.mark.parametrize("draw", [plots.plot_ecg, None])
def test_the_labelled_beat_is_shown(draw):
    signal, beat = np.zeros((480, 2)), {"beat_s": 2.5}
    if draw:
        fig = draw(signal, 120, ["MLII", "V"], **beat)
    else:
        predicted = plots.PredictedClasses(probabilities={"V": 0.9}, decisions=["V"], **beat)
        fig = plots.plot_prediction(signal, 120, ["MLII", "V"], predicted)
    (band,) = (one for one in fig.axes[0].patches if one.get_label() == "beat")
    assert band.get_x() < 2.5 < band.get_x() + band.get_width() < 3.3  # the next beat is outside
    assert "labelled beat" in read_texts(fig)


def test_the_true_class_is_beside_its_probability():
    probabilities = {f"class {k}": 1 - k / 20 for k in range(15)}
    predicted = plots.PredictedClasses(
        probabilities=probabilities, decisions=["class 0"], labels=["class 14"]
    )
    texts = read_texts(plots.plot_prediction(np.zeros((100, 1)), 100, ["I"], predicted))
    assert {"1.000  decided", "0.300  true label", "0.950"} <= set(texts)


# What eyes without one kind of cone see, of linear RGB (Machado, Oliveira, Fernandes 2009).
WITHOUT_CONES = {
    "long": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "middle": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "short": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def see(color, cones) -> np.ndarray:
    """The color as CIELAB, in which a distance of 2 can just be seen."""
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(cones @ linear, 0, 1) / [0.9505, 1.0, 1.089]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("missing", WITHOUT_CONES)
def test_the_color_blind_can_tell_the_curves_of_classes_apart(missing):
    names = [f"class {k}" for k in range(12)]
    y = np.tile([[0], [1]], (5, 12))
    ax = plots.plot_roc_and_pr(y, np.linspace(0, 1, 10)[:, None] * np.ones(12), names).axes[0]
    lines = [line for line in ax.lines if str(line.get_label()).startswith("class")]
    assert len(lines) == 12
    for a, b in itertools.combinations(lines, 2):
        distance = np.linalg.norm(
            np.subtract(*(see(line.get_color(), WITHOUT_CONES[missing]) for line in (a, b)))
        )
        assert distance > 15 or a.get_linestyle() != b.get_linestyle()


def test_ecg_gives_each_lead_a_row_otherwise_and_each_row_a_pulse_of_1_mv():
    signal = np.random.default_rng(0).normal(0, 0.2, (1080, 2)) + np.array([0, 1.5])
    fig = plots.plot_ecg(signal, 360, ["MLII", "V5"], title="record 100")
    (ax,) = fig.axes
    assert {"MLII", "V5", "record 100", "25 mm/s  10 mm/mV"} <= set(read_texts(fig))
    rows = [find_line(ax, name) for name in ("MLII", "V5")]
    assert [len(row.get_xdata()) for row in rows] == [1080, 1080]
    assert rows[0].get_ydata().min() > rows[1].get_ydata().max() - 1e-9
    pulses = [one for one in ax.lines if np.max(one.get_xdata()) < 0]
    assert [np.ptp(one.get_ydata()) for one in pulses] == [1.0, 1.0]


@pytest.mark.parametrize("shape", [(1000,), (1000, 11), (2, 1000, 12), (0, 12)])
def test_ecg_refuses_arrays_that_are_not_one_window(shape):
    with pytest.raises(EcgError, match="one window"):
        plots.plot_ecg(np.zeros(shape), 100, TWELVE_LEADS)


def test_class_balance_shows_counts_and_an_empty_class_in_red():
    counts = pd.DataFrame({"train": [5210, 0], "test": [40, 3]}, index=["NORM", "MI"])
    fig = plots.plot_class_balance(counts)
    (ax,) = fig.axes
    assert [[bar.get_width() for bar in bars] for bars in ax.containers] == [[5210, 0], [40, 3]]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["NORM", "MI"]
    assert {"5,210", "train", "test"} <= set(read_texts(fig))
    (zero,) = (t for t in ax.texts if t.get_text() == "0")
    assert zero.get_color() == plots.RED


def test_representations_have_axes_in_their_units():
    rng = np.random.default_rng(0)
    arrays = {
        "time": rng.normal(size=(100, 2)),
        "frequency": rng.normal(size=(20, 2)),
        "spectrogram": rng.normal(size=(8, 5, 2)),
    }
    axes = {
        "time": {"time_s": np.arange(100) / 100},
        "frequency": {"frequency_hz": np.arange(1, 21)},
        "spectrogram": {"time_s": 0.1 + np.arange(8) / 10, "frequency_hz": 5.0 * np.arange(1, 6)},
    }
    units = {"time": "mV", "frequency": "dB re 1 mV", "spectrogram": "dB re 1 mV²/Hz"}
    fig = plots.plot_representations(arrays, axes, units, lead=1, lead_name="V5")
    time, _, frequency, _, spectrogram, bar = fig.axes
    assert (time.get_xlabel(), time.get_ylabel()) == ("time (s)", "mV")
    assert (frequency.get_xlabel(), frequency.get_ylabel()) == ("frequency (Hz)", "dB re 1 mV")
    assert spectrogram.get_ylabel() == "frequency (Hz)"
    assert bar.get_ylabel() == "dB re 1 mV²/Hz"
    np.testing.assert_array_equal(time.lines[0].get_ydata(), arrays["time"][:, 1])
    np.testing.assert_array_equal(frequency.lines[0].get_xdata(), axes["frequency"]["frequency_hz"])
    (mesh,) = spectrogram.collections
    np.testing.assert_array_equal(mesh.get_array(), arrays["spectrogram"][:, :, 1].T)
    assert time.get_xlim() == spectrogram.get_xlim() == (0, pytest.approx(0.99))
    assert "spectrogram, lead V5" in read_texts(fig)


def test_frequencies_an_octave_apart_are_on_a_logarithmic_axis():
    array = np.random.default_rng(0).normal(size=(8, 6, 1))
    axes = {"time_s": 0.05 + np.arange(8) / 10, "frequency_hz": 0.5 * 2.0 ** np.arange(6)}
    fig = plots.plot_representations(
        {"scalogram": array}, {"scalogram": axes}, {"scalogram": "dB re 1 mV"}
    )
    ax = fig.axes[0]
    assert (ax.get_yscale(), ax.get_ylabel()) == ("log", "frequency (Hz)")
    (mesh,) = ax.collections
    np.testing.assert_array_equal(mesh.get_array(), array[:, :, 0].T)
    # Each cell has its frequency in its middle, as seen on the axis, and its frame's width.
    edges = mesh.get_coordinates()
    np.testing.assert_allclose(edges[:, 0, 1], 0.5 * 2.0 ** (np.arange(7) - 0.5))
    np.testing.assert_allclose(edges[0, :, 0], np.arange(9) / 10, atol=1e-12)
    fig.canvas.draw()
    ticks = [tick.get_text() for tick in ax.get_yticklabels()]
    assert {"0.5", "1", "2", "5", "10"} <= set(ticks)


def test_representations_refuse_a_batch():
    with pytest.raises(EcgError, match="one window of the batch"):
        plots.plot_representations(
            {"time": np.zeros((4, 9, 1))}, {"time": {"time_s": np.arange(9)}}, {"time": "mV"}
        )
    assert plt.get_fignums() == []


def test_history_marks_the_best_epoch_of_each_model():
    frame = pd.DataFrame(
        {
            "epoch": [0, 1, 2, 0, 1, 2],
            "loss": [0.6, 0.4, 0.3, 0.7, 0.5, 0.4],
            "val_loss": [0.7, 0.5, 0.6, 0.8, 0.6, 0.5],
            "val_auroc": [0.6, 0.8, 0.7, 0.5, 0.6, 0.9],
            "member": [0, 0, 0, 1, 1, 1],
        }
    )
    fig = plots.plot_history(frame)
    losses, scores = fig.axes
    found = set(read_texts(fig))
    assert {"best: 0.800 in epoch 1", "best: 0.900 in epoch 2", "train", "validation"} <= found
    np.testing.assert_array_equal(find_line(losses, "train").get_ydata(), [0.6, 0.4, 0.3])
    circles = [one for one in scores.lines if one.get_marker() == "o"]
    assert [(*one.get_xdata(), *one.get_ydata()) for one in circles] == [(1, 0.8), (2, 0.9)]
    one = plots.plot_history(frame[:3].drop(columns="member"))
    assert "best: 0.800 in epoch 1" in read_texts(one)


def test_history_marks_the_epoch_that_the_monitored_score_chose():
    frame = pd.DataFrame({"epoch": [1, 2, 3], "loss": 0.5, "val_loss": 0.6})
    frame = frame.assign(val_auroc=[0.6, 0.9, 0.7], val_f1=[0.5, 0.3, 0.2])
    for monitor, label in (("f1", "best: 0.500 in epoch 1"), ("none", "last: 0.700 in epoch 3")):
        assert label in read_texts(plots.plot_history(frame, monitor=monitor))


def test_history_without_a_score_has_no_best_epoch():
    frame = pd.DataFrame({"epoch": [0], "loss": [1.0], "val_loss": [1.0], "val_auroc": [np.nan]})
    assert not any(t.startswith("best") for t in read_texts(plots.plot_history(frame)))


def test_curves_have_the_areas_that_scikit_learn_gives():
    rng = np.random.default_rng(0)
    y = (rng.random((200, 3)) < [0.4, 0.1, 0.0]).astype(np.float32)
    p = np.clip(0.4 * y + 0.6 * rng.random((200, 3)), 0, 1)
    fig = plots.plot_roc_and_pr(y, p, ["NORM", "MI", "HYP"])
    found = read_texts(fig)
    for k, name in enumerate(["NORM", "MI"]):
        assert f"{name}: {roc_auc_score(y[:, k], p[:, k]):.3f}" in found
        area = average_precision_score(y[:, k], p[:, k])
        assert f"{name}: {area:.3f} (chance {y[:, k].mean():.3f})" in found
        curve = find_line(fig.axes[0], f"{name}: {roc_auc_score(y[:, k], p[:, k]):.3f}")
        drawn = np.trapezoid(curve.get_ydata(), curve.get_xdata())
        assert drawn == pytest.approx(roc_auc_score(y[:, k], p[:, k]))
    assert found.count("HYP: no positive window") == 2


def test_reliability_of_true_probabilities_lies_on_the_diagonal():
    rng = np.random.default_rng(0)
    p = rng.random((20_000, 2))
    y = rng.random(p.shape) < p
    (ax,) = plots.plot_reliability(y, p ** [1, 2], ["true", "squared"]).axes
    for name, power in (("true", 1), ("squared", 2)):
        curve = find_line(ax, name)
        x, fraction = curve.get_xdata(), curve.get_ydata()
        assert len(x) == 10
        np.testing.assert_allclose(fraction, x ** (1 / power), atol=0.03)


def test_confusion_counts_rows_by_class_and_columns_by_decision():
    y = np.eye(3)[[0, 0, 0, 0, 1, 1]]
    decisions = np.eye(3)[[0, 0, 0, 1, 1, 2]]
    fig = plots.plot_confusion(y, decisions, ["N", "S", "V"])
    ax = fig.axes[0]
    cells = {t.get_position(): t.get_text() for t in ax.texts}
    assert cells[(0, 0)] == "3\n75%"
    assert cells[(1, 0)] == "1\n25%"
    assert cells[(2, 1)] == "1\n50%"
    assert cells[(2, 2)] == "0\n0%"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("decision", "class")
    np.testing.assert_allclose(ax.images[0].get_array()[0], [0.75, 0.25, 0])


def test_confusion_refuses_several_classes_for_one_window():
    with pytest.raises(EcgError, match="multi_label"):
        plots.plot_confusion(np.ones((2, 3)), np.eye(3)[:2], list("abc"))


@pytest.mark.parametrize("draw", [plots.plot_history, plots.plot_scores, plots.plot_verdicts])
def test_a_missing_column_or_an_empty_table_is_named(draw):
    with pytest.raises(EcgError, match=r"0 rows with the columns other"):
        draw(pd.DataFrame({"other": []}))


@pytest.mark.parametrize(
    "draw", [plots.plot_roc_and_pr, plots.plot_reliability, plots.plot_confusion]
)
def test_shapes_must_fit_the_classes(draw):
    with pytest.raises(EcgError, match=r"\(2, 3\) and \(2, 2\)"):
        draw(np.zeros((2, 3)), np.zeros((2, 2)), list("abc"))


def test_learning_curves_circle_the_epoch_that_is_used():
    history = pd.DataFrame({"epoch": [1, 2, 3], "val_f1": [0.2, 0.5, 0.4]})
    fig = plots.plot_learning_curves(
        [history, history.assign(val_f1=[0.1, 0.2, 0.3])], monitor="f1"
    )
    (ax,) = fig.axes
    circles = [one for one in ax.lines if one.get_marker() == "o"]
    points = {(float(one.get_xdata()[0]), float(one.get_ydata()[0])) for one in circles}
    assert points == {(2, 0.5), (3, 0.3)}
    assert ax.get_ylabel() == "macro F1, validation"


def test_learning_curves_of_an_ensemble_have_a_line_for_each_member():
    history = pd.DataFrame(
        {"epoch": [1, 2, 1, 2], "val_auroc": [0.5, 0.6, 0.7, 0.8], "member": [0, 0, 1, 1]}
    )
    (ax,) = plots.plot_learning_curves([history], monitor="none").axes
    lines = [one for one in ax.lines if one.get_marker() != "o"]
    assert [list(one.get_ydata()) for one in lines] == [[0.5, 0.6], [0.7, 0.8]]


def test_a_long_curve_is_thinned_and_keeps_its_ends_and_its_shape():
    rng = np.random.default_rng(0)
    y = rng.random((20_000, 1)) < 0.3
    p = np.clip(rng.normal(0.3 + 0.2 * y, 0.2), 0, 1)
    roc_ax, _ = plots.plot_roc_and_pr(y, p, ["AF"]).axes
    (curve,) = (one for one in roc_ax.lines if one.get_label().startswith("AF"))
    x, sensitivity = curve.get_xdata(), curve.get_ydata()
    assert len(x) <= 400
    assert (x[0], sensitivity[0], x[-1], sensitivity[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(sensitivity, x) == pytest.approx(roc_auc_score(y[:, 0], p[:, 0]), abs=1e-3)


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("name", ["A", "RHYTHM", "left ventricular hypertrophy"])
def test_curves_and_legends_of_long_names_are_inside_the_figure(name, stacked):
    fig = plots.plot_roc_and_pr(Y, P, [f"{name} {k}" for k in "abc"], stacked=stacked)
    fig.draw_without_rendering()
    box = fig.get_tightbbox()
    assert box.x0 >= 0
    assert box.x1 <= fig.get_figwidth()
