"""What the figures show: read from the drawn axes, not from pixels."""

import matplotlib.pyplot as plt
import pytest
import torch

from companion.plots import figures as plots
from companion.training.run_state import History


@pytest.fixture
def axes():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def test_a_loss_curve_has_each_step_each_evaluation_and_each_level(axes):
    history = History(loss=[3.0, 2.0, 1.5], evaluations=[(0, 3.5), (3, 1.0)])
    plots.loss_curve(axes, history, {"floor": 0.5})
    training, held_out, level = axes.get_lines()
    assert list(training.get_xdata()) == [1, 2, 3]
    assert list(training.get_ydata()) == history.loss
    assert list(zip(held_out.get_xdata(), held_out.get_ydata(), strict=True)) == history.evaluations
    assert set(level.get_ydata()) == {0.5}
    assert [text.get_text() for text in axes.texts] == ["floor"]


def test_the_first_token_of_a_distribution_stands_on_top(axes):
    plots.bars(axes, ["a", "b"], [0.7, 0.3], "next")
    assert [bar.get_width() for bar in axes.patches] == [0.7, 0.3]
    assert axes.yaxis_inverted()
    assert axes.get_title() == "next"


def test_a_heatmap_has_a_label_for_each_row_and_column_and_nothing_where_the_number_is_zero(axes):
    image = plots.heatmap(axes, torch.tensor([[0.0, 1.0]]), ["row"], ["x", "y"])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["row"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["x", "y"]
    opacity = image.cmap(image.norm(torch.tensor([0.0, 0.25, 1.0]).numpy()))[:, 3]
    assert opacity == pytest.approx([0.0, 0.5, 1.0], abs=0.01)  # the square root


def test_numbers_above_and_below_zero_have_different_colours_equally_strong(axes):
    image = plots.signed_heatmap(axes, torch.tensor([[-2.0, 1.0]]))
    assert (image.norm.vmin, image.norm.vmax) == (-2.0, 2.0)
    below, nothing, above = image.cmap([0.0, 0.5, 1.0])
    assert tuple(below[:3]) != tuple(above[:3])
    assert (below[3], above[3]) == (1.0, 1.0)
    assert nothing[3] < 0.01


def test_the_area_of_a_square_is_the_weight(axes):
    weights = torch.tensor([[1.0, 0.0], [0.25, 0.75]])
    plots.attention_squares(axes, weights, ["a", "b"])
    areas = torch.tensor([patch.get_width() * patch.get_height() for patch in axes.patches])
    torch.testing.assert_close(areas / areas[0], weights.flatten())
    assert [text.get_text() for text in axes.texts] == ["1.00", "0.00", "0.25", "0.75"]


def test_the_frame_of_a_grid_of_heads_is_around_the_highest_score(axes):
    plots.head_grid(axes, torch.tensor([[0.1, 0.2, 0.1], [0.9, 0.0, 0.3]]), "scores")
    (frame,) = axes.patches
    assert frame.get_xy() == (-0.5, 0.5)


def test_a_live_loss_draws_every_few_steps_and_at_the_end(monkeypatch):
    updates = []
    handle = type("Handle", (), {"update": lambda self, figure: updates.append(figure)})()
    monkeypatch.setattr(plots, "display", lambda *_, **__: handle)
    live = plots.LiveLoss(5, {}, every=2)
    for step in range(1, 6):
        live(step, History(loss=[1.0] * step))
    assert len(updates) == 3  # steps 2, 4 and 5
    assert live.axes.get_xlim() == (0.0, 5.0)


def test_the_style_of_the_book_reaches_every_later_figure():
    with plt.rc_context():
        plots.use_book_style()
        assert plt.rcParams["text.color"] == plots.INK
        assert plt.rcParams["figure.facecolor"] == "none"
