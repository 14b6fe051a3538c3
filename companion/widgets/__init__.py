"""Widgets: one front end each, alive in a notebook, in the built book, and in a page of its own.

Chapter: ``book/concepts/attention.ipynb``.
"""

from companion.widgets.attention_steps import AttentionSteps
from companion.widgets.attention_view import AttentionView, Example
from companion.widgets.head_lab import HeadLab
from companion.widgets.next_token import NextTokenView
from companion.widgets.through_the_layers import ThroughTheLayers
from companion.widgets.tokenizers_view import TokenizersView
from companion.widgets.training_replay import TrainingReplay
from companion.widgets.two_models import TwoModels
from companion.widgets.who_sees_whom import WhoSeesWhom

__all__ = [
    "AttentionSteps",
    "AttentionView",
    "Example",
    "HeadLab",
    "NextTokenView",
    "ThroughTheLayers",
    "TokenizersView",
    "TrainingReplay",
    "TwoModels",
    "WhoSeesWhom",
]
