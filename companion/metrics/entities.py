"""Entities in tags of the BIO scheme: which spans the tags mark, and how many of them were found.

"B-X" begins an entity of kind X, "I-X" goes on with it, "O" is outside. The scores are those of ``conlleval``, the
script of the CoNLL tasks (Tjong Kim Sang & De Meulder 2003), and of the package ``seqeval``. Chapter:
``book/algorithms/finetuning.ipynb``.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from companion.metrics.classification import Report


class Entity(NamedTuple):
    """The words [begin, end) of a sentence.

    Attributes:
        kind: such as "PERSON".
        begin: the first word.
        end: the word after the last.
    """

    kind: str
    begin: int
    end: int


def entities(tags: Sequence[str]) -> list[Entity]:
    """Read the entities off a sentence's tags, in order.

    A model may write what no annotator would: an "I-X" with nothing to go on with, or after another kind. As in
    ``conlleval``, it then begins an entity.

    Raises:
        ValueError: on a tag that is neither "O" nor "B-X" nor "I-X".
    """
    found: list[Entity] = []
    kind, begin = "", 0  # of the entity that is open; "" = none
    for place, tag in enumerate([*tags, "O"]):
        mark, own = _parts(tag)
        if kind and not (mark == "I" and own == kind):
            found.append(Entity(kind, begin, place))
            kind = ""
        if own and not kind:
            kind, begin = own, place
    return found


def entity_report(predicted: Sequence[Sequence[str]], true: Sequence[Sequence[str]]) -> Report:
    """Return precision, recall and F1 of each kind of entity; one is found if its kind and both its ends are right.

    Args:
        predicted: tags of each sentence.
        true: the right ones.

    Raises:
        ValueError: when there is no sentence, one has no words, or the numbers of sentences or of tags differ.
    """
    if not true or len(predicted) != len(true):
        raise ValueError(f"there must be as many sentences in both, at least 1; got {len(predicted)} and {len(true)}")
    right, given, all_ = Counter[str](), Counter[str](), Counter[str]()
    for row, (ours, theirs) in enumerate(zip(predicted, true, strict=True)):
        if not theirs or len(ours) != len(theirs):
            raise ValueError(f"each word must have two tags; sentence {row} has {len(ours)} and {len(theirs)}")
        one, other = set(entities(ours)), set(entities(theirs))
        right.update(entity.kind for entity in one & other)
        given.update(entity.kind for entity in one)
        all_.update(entity.kind for entity in other)
    kinds = sorted(given.keys() | all_.keys())
    return Report.of({kind: (right[kind], given[kind], all_[kind]) for kind in kinds})


def _parts(tag: str) -> tuple[str, str]:
    """ "B-X" -> ("B", "X"), "O" -> ("O", "")."""
    mark, _, kind = tag.partition("-")
    if (mark in ("B", "I") and kind) or tag == "O":
        return mark, kind
    raise ValueError(f"a tag must be O, B-KIND or I-KIND; got {tag!r}")
