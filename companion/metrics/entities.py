"""Entity-level precision, recall and F1 in the BIO scheme.

"B-X" begins an entity of kind X, "I-X" continues it, "O" is outside. The scores are those of ``conlleval``, the
script of the CoNLL tasks (Tjong Kim Sang & De Meulder 2003), and of the package ``seqeval``. Chapter:
``book/algorithms/finetuning.ipynb``.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from companion.metrics.classification import Report
from companion.metrics.text import check_tokens


class Entity(NamedTuple):
    """An entity: the words [begin, end) of a sentence.

    Attributes:
        kind: kind of entity, such as "PERSON".
        begin: number of its first word.
        end: number of the word after its last.
    """

    kind: str
    begin: int
    end: int


def entities(tags: Sequence[str]) -> list[Entity]:
    """Entities that a sentence's BIO tags mark, in order.

    A model may predict an inconsistent "I-X", after "O" or another kind. As in ``conlleval``, it begins an entity.

    >>> entities(["B-PER", "I-PER", "O", "B-LOC"])
    [Entity(kind='PER', begin=0, end=2), Entity(kind='LOC', begin=3, end=4)]

    Raises:
        ValueError: on a tag that is neither "O" nor "B-X" nor "I-X", or a string in the place of a list.
    """
    check_tokens(tags)
    found: list[Entity] = []
    kind, begin = "", 0  # of the open entity; "" = none
    for position, tag in enumerate([*tags, "O"]):
        mark, own = _parts(tag)
        if kind and not (mark == "I" and own == kind):
            found.append(Entity(kind, begin, position))
            kind = ""
        if own and not kind:
            kind, begin = own, position
    return found


def entity_report(predicted: Sequence[Sequence[str]], true: Sequence[Sequence[str]]) -> Report:
    """Entity-level precision, recall and F1 of each kind; an entity is right if its kind and both ends are.

    >>> found = entity_report([["B-PER", "O", "B-LOC"]], [["B-PER", "O", "O"]])
    >>> found.micro.precision, found.micro.recall
    (0.5, 1.0)

    Args:
        predicted: predicted tags of each sentence.
        true: true tags of each sentence.

    Raises:
        ValueError: when there is no sentence, one has no words or is a string, or the numbers of sentences or of tags
            differ.
    """
    check_tokens(predicted, true, *predicted, *true)
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
