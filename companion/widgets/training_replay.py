"""TrainingReplay: a slider over the checkpoints of a training run, its curves, and the attention at each of them.

Chapter: ``book/algorithms/scaling.ipynb``, "Look inside: a phase change, live".
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import traitlets as t

from companion.widgets import bundle, page
from companion.widgets.attention_view import FRONT_END, AttentionView, styles
from companion.widgets.encoding import as_array


class TrainingReplay(AttentionView):
    """The attention of a model as it learns, checkpoint by checkpoint, beside the curves of its training.

    Its traits are those of :class:`companion.widgets.AttentionView`, and these.
    """

    _esm = bundle.module(FRONT_END / "training_replay.js")
    _css = styles("attention_view", "training_replay")

    steps = t.List(t.Int(), help="of training, at each checkpoint").tag(sync=True)
    curves = t.Dict(help="by name, the value at each checkpoint").tag(sync=True)
    frame = t.Int(0, help="the checkpoint that is shown").tag(sync=True)

    def __init__(
        self,
        tokens: Sequence[str],
        frames: Mapping[int, Any],
        curves: Mapping[str, Sequence[float]],
        *,
        layer: int = 0,
        head: int = 0,
        caption: str = "",
    ) -> None:
        """Show the last checkpoint; the slider leads to the others.

        >>> early, late = ([[[[1.0, 0.0], [x, 1 - x]]]] for x in (0.5, 0.9))
        >>> replay = TrainingReplay(["a", "b"], {0: np.array(early), 100: np.array(late)}, {"loss": [2.3, 0.4]})
        >>> replay.steps, replay.frame
        ([0, 100], 1)

        Args:
            tokens: n labels.
            frames: by step of training, in order, attention as :class:`companion.widgets.AttentionView` takes it.
            curves: by name, a value for each checkpoint, such as the loss; one or more.
            layer: shown first.
            head: shown first.
            caption: a line under the picture.

        Raises:
            ValueError: on no checkpoints, steps that do not rise, no curves or one of another length or with a value
                that is not finite, checkpoints of different shapes, or what the attention view refuses.
        """
        steps = list(frames)
        if not steps or steps != sorted(set(steps)):
            raise ValueError(f"frames must be one or more checkpoints, their steps rising; got steps {steps}")
        _check_curves(curves, len(steps))
        pictures = [as_array(attention) for attention in frames.values()]
        for step, picture in zip(steps, pictures, strict=True):
            if picture.shape != pictures[0].shape:
                shapes = f"{pictures[0].shape} at step {steps[0]}, {picture.shape} at step {step}"
                raise ValueError(f"every checkpoint must have attention of one shape; got {shapes}")
        last = len(pictures[0])
        if not 0 <= layer < last:
            raise ValueError(f"layer must be 0 to {last - 1}; got {layer}")
        super().__init__(tokens, np.concatenate(pictures), layer=layer, head=head, caption=caption)
        self.shape = list(pictures[0].shape)
        self.steps = steps
        self.curves = {name: [float(value) for value in values] for name, values in curves.items()}
        self.frame = len(steps) - 1

    @t.validate("frame")
    def _check_frame(self, proposal: dict[str, Any]) -> int:
        frame = int(proposal["value"])
        if self.steps and not 0 <= frame < len(self.steps):
            raise ValueError(f"frame must be 0 to {len(self.steps) - 1}; got {frame}")
        return frame

    def _figure(self, zoo_name: str | None) -> str:
        return page.fragment(self._state(), zoo_name, widget="training_replay")

    def to_html(self) -> str:
        """Return a page of its own, everything inline, that also opens from disk and asks no other host."""
        return page.document(self._figure(None), self._css, "training_replay", "A training run")

    def _state(self) -> dict[str, Any]:
        return {**super()._state(), "steps": self.steps, "curves": self.curves, "frame": self.frame}


def _check_curves(curves: Mapping[str, Sequence[float]], count: int) -> None:
    if not curves:
        raise ValueError("curves must hold at least one, such as {'loss': [...]}; got none")
    for name, values in curves.items():
        if len(values) != count:
            raise ValueError(f"a curve has a value for each of the {count} checkpoints; {name!r} has {len(values)}")
        if not all(math.isfinite(value) for value in values):
            raise ValueError(f"the values of a curve must be finite; got {list(values)} for {name!r}")
