"""What the chapter on interpretability asks its models: texts in pairs, facts of stories, probes, sparse features.

Chapter: ``book/practice/interpretability.ipynb``; ``benchmarks/interpretability.py`` runs all of it.
"""

from companion.lessons.interpretability.experiments.known import (
    NUMBER,
    PLACES,
    WORLD,
    Known,
    known,
    neurons,
    states,
    untrained,
)
from companion.lessons.interpretability.experiments.pairs import (
    NAMES,
    ROLES,
    TEMPLATES,
    Pairs,
    name_pairs,
    roles,
    where_pairs,
)
from companion.lessons.interpretability.experiments.probes import SITES, Site, full_stops, probe_controls, questions
from companion.lessons.interpretability.experiments.sparse import (
    FAMILIES,
    Facts,
    Scale,
    Sparse,
    both_signs,
    detected,
    facts_of,
    shuffled,
    train_autoencoder,
)

__all__ = [
    "FAMILIES",
    "NAMES",
    "NUMBER",
    "PLACES",
    "ROLES",
    "SITES",
    "TEMPLATES",
    "WORLD",
    "Facts",
    "Known",
    "Pairs",
    "Scale",
    "Site",
    "Sparse",
    "both_signs",
    "detected",
    "facts_of",
    "full_stops",
    "known",
    "name_pairs",
    "neurons",
    "probe_controls",
    "questions",
    "roles",
    "shuffled",
    "states",
    "train_autoencoder",
    "untrained",
    "where_pairs",
]
