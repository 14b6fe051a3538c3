"""What the chapter on BERT compares its models with, beside its concepts: texts, a training run, readers and judges.

Chapter: ``book/algorithms/bert.ipynb``.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache

import torch
from torch import Tensor

from companion.data import prose
from companion.data.batch import IGNORED, padded
from companion.data.vocabulary import Vocabulary
from companion.losses.sentences import Pairs, Pretraining, next_sentence_pairs, pretraining_batch, pretraining_loss
from companion.models.baselines.bag_of_words import BagOfWords
from companion.models.baselines.naive_bayes import NaiveBayes
from companion.models.baselines.ngram import NGram, NGramConfig
from companion.models.bert import BertForPreTraining
from companion.storyworld import Story, World
from companion.storyworld.optimum import best_label
from companion.storyworld.tasks import SEPARATOR, Example
from companion.storyworld.views import sentences
from companion.training.loop import OnStep, fit
from companion.training.run_state import History
from companion.training.settings import Optimization

WORLD = World("small", language="en")
WORDS = Vocabulary([*WORLD.vocabulary, "[CLS]", "[SEP]", "[MASK]"])
CLS, SEP, MASK = (WORDS.number(token) for token in ("[CLS]", "[SEP]", "[MASK]"))
SPECIAL = (0, 1, CLS, SEP)  # end of text, unknown word, and the frame: never chosen
Document = list[list[int]]  # two parts, each a list of token ids

PARAPHRASES = (  # written for the book: the same said twice, in other words
    ("The doctor told him to rest for a week.", "A physician ordered seven days in bed."),
    ("The car would not start this morning.", "At dawn the engine stayed dead."),
    ("She bought her daughter a bicycle.", "Mother gave the girl a new bike."),
    ("It rained all night.", "The downpour lasted until sunrise."),
    ("The film was dull.", "That movie bored me."),
    ("He lost his job last year.", "The company dismissed this worker twelve months ago."),
    ("The children are asleep.", "All kids have gone to bed."),
    ("Prices have gone up again.", "Everything costs more than before."),
    ("The ship sank in a storm.", "High winds drove a vessel under the waves."),
    ("Our team won the game.", "We beat the other side."),
    ("The soup is too hot to eat.", "Let your broth cool first."),
    ("He can speak three languages.", "The man talks in English, French and German."),
    ("The thief took all her money.", "A robber left that woman without a penny."),
    ("Snow has closed the road.", "Nobody can drive there in this winter weather."),
    ("The old king is dead.", "Their aged monarch passed away."),
    ("My brother teaches at a school.", "A relative of mine works in a classroom."),
)


def documents(stories: int, seed: int | str) -> list[Document]:
    """Stories in two parts: where everybody is, and the first thing that happens then; those with none are left out.

    >>> [" ".join(WORDS.decode(part)) for part in documents(1, seed=0)[0]][1]
    'Susan goes to the garden .'
    """
    return [found for story in WORLD.stories(stories, seed) if (found := _document(story))]


def _document(story: Story) -> Document | None:
    said = sentences(story)
    opening = sum(event.kind == "be" for event in story.statements)
    if len(said) == opening:
        return None
    return [WORDS.encode(token for sentence in said[:opening] for token in sentence), WORDS.encode(said[opening])]


def batches(size: int, seed: int) -> Iterator[Pretraining]:
    """Batches of pairs without end, their words hidden as BERT does, texts of like length together."""
    draw, pool = torch.Generator().manual_seed(seed), 0
    while True:
        told = sorted(documents(8 * size, f"{seed}/{pool}"), key=lambda document: len(document[0]))
        some = [told[i : i + size] for i in range(0, len(told) - size + 1, size)]
        for i in torch.randperm(len(some), generator=draw).tolist():
            pairs = next_sentence_pairs(some[i], cls_id=CLS, sep_id=SEP, generator=draw)
            yield pretraining_batch(pairs, mask_id=MASK, vocab_size=len(WORDS), special_ids=SPECIAL, generator=draw)
        pool += 1


def pretrain(model: BertForPreTraining, steps: int, examine: OnStep) -> History:
    """Pre-train on both losses; ``examine`` is called after each step.

    >>> from companion.models.bert import BertConfig
    >>> model = BertForPreTraining(BertConfig(len(WORDS), 40, n_layers=1, n_heads=1, d_model=8))
    >>> len(pretrain(model, steps=1, examine=lambda step, history: None).loss)
    1
    """
    return fit(
        model,
        batches(32, seed=0),
        steps=steps,
        loss=pretraining_loss,
        learning_rate=4e-3,
        optimization=Optimization("muon", weight_decay=0.0, schedule="linear"),
        progress=examine,
    )


def framed(some: Sequence[Document], gaps: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Documents as BERT reads them, each with one word masked.

    >>> ids, types, real = framed([[[5, 6], [7]]], gaps=[1])
    >>> ids[0].tolist() == [CLS, 5, MASK, SEP, 7, SEP], types[0].tolist()
    (True, [0, 0, 0, 0, 1, 1])

    Args:
        some: documents.
        gaps: for each the number of the word that is masked, counted through both parts.

    Returns:
        ids, segments and mask, (documents, length) each.
    """
    rows, types = [], []
    for (first, second), gap in zip(some, gaps, strict=True):
        ids = [CLS, *first, SEP, *second, SEP]
        ids[gap + 1 if gap < len(first) else gap + 2] = MASK
        rows.append(ids)
        types.append([0] * (len(first) + 2) + [1] * (len(second) + 1))
    inputs, real = padded(rows)
    return inputs, padded(types)[0], real


def ngram_guesses(order: int, texts: Sequence[Sequence[int]], gaps: Sequence[int]) -> Tensor:
    """Guess at each gap of an n-gram that has counted 4,000 stories and reads what stands before: (texts,).

    >>> told = WORDS.encode(["Tom", "is", "in", "the"])
    >>> WORDS.decode(ngram_guesses(2, [told], gaps=[2]).tolist())
    ['in']
    """
    rows, real = padded([[0, *first, *second] for first, second in _counted()])
    counted = NGram(NGramConfig(len(WORDS), order))
    counted.count(rows.masked_fill(~real, IGNORED))
    before = (torch.tensor([[0, *text[:gap]]]) for text, gap in zip(texts, gaps, strict=True))
    return torch.stack([counted(ids)[0, -1].argmax() for ids in before])


def commonest_word() -> int:
    """Word that occurs most often in 4,000 stories.

    >>> 0 < commonest_word() < len(WORDS)
    True
    """
    told = torch.tensor([word for parts in _counted() for part in parts for word in part])
    return int(told.bincount(minlength=len(WORDS)).argmax())


@cache
def _counted() -> list[Document]:
    return documents(4000, seed=0)


def log_probability(text: Sequence[int]) -> float:
    """Exact log-probability of a text; minus infinity where no story reads like it.

    >>> log_probability(WORDS.encode(["park", "park"]))
    -inf
    """
    reader = WORLD.reader()
    try:
        return sum(reader.read(token) for token in WORDS.decode(text))
    except ValueError:
        return float("-inf")


def likeliest(text: Sequence[int], gap: int) -> tuple[int, int]:
    """The best possible guesses at a gap: from what stands before it, and from both sides.

    >>> told = WORDS.encode(["Tom", "is", "in", "the", "park", "."])
    >>> [WORDS.tokens[word] for word in likeliest(told, gap=2)]
    ['in', 'in']
    """
    left = WORLD.next_probabilities(WORDS.decode(text[:gap]))
    both = {word: log_probability([*text[:gap], WORDS.number(word), *text[gap + 1 :]]) for word in left}
    return WORDS.number(max(left, key=lambda word: left[word])), WORDS.number(max(both, key=lambda word: both[word]))


def judges(training: Pairs, asked: Pairs) -> dict[str, float]:
    """Accuracy on pairs of naive Bayes, which has counted the training pairs, and of the best possible answer.

    >>> pairs = next_sentence_pairs(documents(8, seed=0), cls_id=CLS, sep_id=SEP)
    >>> list(judges(pairs, pairs))
    ['naive Bayes', 'best possible']
    """
    seen, new = _examples(training), _examples(asked)
    bayes = NaiveBayes([one.tokens for one in seen], [one.label for one in seen])
    best = sum(best_label("next sentence", one, WORLD) == one.label for one in new) / len(new)
    return {"naive Bayes": bayes.accuracy([e.tokens for e in new], [e.label for e in new]), "best possible": best}


def _examples(pairs: Pairs) -> list[Example]:
    found = []
    for row, real, label in zip(pairs.inputs, pairs.attention_mask, pairs.labels, strict=True):
        tokens = (SEPARATOR if token == "[SEP]" else token for token in WORDS.decode(row[real][1:-1].tolist()))
        found.append(Example(tuple(tokens), ("next", "other")[int(label)]))
    return found


def written_sentences() -> list[str]:
    """Sentences of held-out texts of the book's primer, of thirty to ninety letters.

    >>> written_sentences()[0].endswith((".", "!", "?"))
    True
    """
    _, held_out = prose.split(prose.documents(["primer"]))
    return [one for text in held_out for one in re.findall(r"[A-Z][^.!?]{30,90}[.!?]", " ".join(text.split()))]


def by_words(pairs: Sequence[tuple[str, str]]) -> Tensor:
    """BM25 score of each first sentence, as a query, and each second one: (sentences, sentences).

    >>> by_words([("A cat.", "The cat sat."), ("A dog.", "It barks.")]).argmax(1)[0].item()
    0
    """
    first, second = ([re.findall(r"\w+", text.lower()) for text in side] for side in zip(*pairs, strict=True))
    return BagOfWords(second).bm25(first)
