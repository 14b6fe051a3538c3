"""Experiments of the chapter on retrieval: encoders of stories, real searches, and answers from what was found.

Chapter: ``book/algorithms/retrieval.ipynb``. ``benchmarks/denoising.py``, ``retrieval.py``, ``questions.py`` and
``grounded.py`` repeat them with five seeds, or for all questions.
"""

import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from companion import zoo
from companion.data.batch import padded
from companion.data.chunks import chunks
from companion.data.paraphrases import content_words, words
from companion.data.primer_questions import Question
from companion.data.vocabulary import Vocabulary
from companion.lessons.denoising import experiments as denoising
from companion.lessons.denoising.experiments import VOCABULARY, Text, collate
from companion.lessons.limits.experiments import CHAT_MODEL, continuations, log_probabilities
from companion.losses.contrastive import Views, similarity, views_loss
from companion.models.baselines.bag_of_words import BagOfWords
from companion.models.bert import Bert, BertConfig
from companion.models.sentence_encoder import SentenceEncoder
from companion.nn.initialization import sinusoidal_initialization
from companion.storyworld import Story
from companion.storyworld.search import mirrored
from companion.storyworld.views import told
from companion.training.run_state import History

View = Callable[[Story], Text]
Embed = Callable[[Tensor, Tensor], Tensor]  # ids and mask, both (batch, length) -> vectors (batch, d)
Score = Callable[[Sequence[Text], Sequence[Text]], Tensor]  # queries, documents -> (queries, documents)

BATCH = 16  # texts that MiniLM reads at once
LONGEST = 24  # tokens of an answer
READ = "Answer the question with the text. Answer with one or two words."
LEAVE = " If the text does not say it, answer: not in the text."


def with_mirrors(stories: Sequence[Story]) -> list[tuple[Story, Story]]:
    """Those stories that have a mirror, each with it; see :func:`companion.storyworld.search.mirrored`."""
    return [(story, mirror) for story in stories if (mirror := mirrored(story))]


def new_encoder(seed: int = 0, vocabulary: Vocabulary = VOCABULARY, dropout: float = 0.0) -> SentenceEncoder:
    """Sentence encoder of two layers and width 64, with new weights."""
    torch.manual_seed(seed)
    encoder = SentenceEncoder(Bert(BertConfig(len(vocabulary), 80, 2, 4, 64, n_segments=1, dropout=dropout)))
    sinusoidal_initialization(encoder.bert)
    return encoder


def pairs_of(group: Sequence[Story], view: View) -> Views:
    """Stories, each beside a view of it."""
    return Views(*collate([view(story) for story in group]), *collate([told(story) for story in group]))


def drawn_batches(make: Callable[[random.Random], Views], draw: random.Random) -> Iterator[Views]:
    """Batches without end, each made with the next random numbers."""
    while True:
        yield make(draw)


def by_vectors(embed: Embed, vocabulary: Vocabulary = VOCABULARY) -> Score:
    """Search by the cosine of vectors."""

    @torch.no_grad()
    def score(queries: Sequence[Text], documents: Sequence[Text]) -> Tensor:
        return similarity(embed(*collate(queries, vocabulary)), embed(*collate(documents, vocabulary)))

    return score


def near_pairs(texts: Sequence[Text]) -> list[list[str]]:
    """Each text as its words and its pairs of words, up to five apart.

    >>> near_pairs([["a", "b", "c"]])
    [['a', 'b', 'c', 'a b', 'a c', 'b c']]
    """
    return [[*text, *(f"{a} {b}" for i, a in enumerate(text) for b in text[i + 1 : i + 6])] for text in texts]


def train(encoder: SentenceEncoder, batches: Iterator[Views], steps: int, **settings: Any) -> History:
    """History of a training by InfoNCE; ``settings`` as in :func:`companion.lessons.denoising.experiments.train`."""
    return denoising.train(encoder, batches, steps, loss=views_loss, **settings)


@torch.no_grad()
def token_vectors(bert: Bert, tokenizer: Tokenizer, texts: Sequence[str]) -> list[Tensor]:
    """Of each text the last hidden states of its tokens (tokens, d), the frame of special tokens among them."""
    encoded = [tokenizer.encode(text).ids for text in texts]
    order = sorted(range(len(texts)), key=lambda i: len(encoded[i]))  # texts of like length, little padding
    found: dict[int, Tensor] = {}
    for first in range(0, len(order), BATCH):
        rows = order[first : first + BATCH]
        ids, real = padded([encoded[i] for i in rows])
        hidden = bert(ids, attention_mask=real)  # (texts, tokens, d)
        found |= {i: states[mask] for i, states, mask in zip(rows, hidden, real, strict=True)}
    return [found[i] for i in range(len(texts))]


def means(texts: Sequence[Tensor]) -> Tensor:
    """The mean of the token vectors of each text: (texts, d).

    >>> means([torch.tensor([[1.0, 2.0], [3.0, 4.0]])]).tolist()
    [[2.0, 3.0]]
    """
    return torch.stack([tokens.mean(0) for tokens in texts])


def by_words(queries: Sequence[str], documents: Sequence[str]) -> Tensor:
    """BM25 scores of content words; minus infinity where a query and a document have none in common.

    >>> by_words(["the queen"], ["A queen slept.", "The cat slept."])[0, 1].item()
    -inf
    """
    counted = BagOfWords([_content(text) for text in documents]).bm25([_content(text) for text in queries])
    return counted.masked_fill(counted <= 0, -torch.inf)


def _content(text: str) -> list[str]:
    known = content_words(text)
    return [word for word in words(text) if word in known] or ["-"]


def reminded(question: Question, paragraph: str, number: int, seed: int) -> str:
    """The question in other words, before it some content words that its first wording takes from the paragraph.

    >>> from companion.data.primer_questions import paragraphs, questions
    >>> one = questions()[12]
    >>> reminded(one, paragraphs()[one.paragraph], 1, seed=0)
    'queen: Which hue did Her Majesty detest?'

    Args:
        question: in two wordings.
        paragraph: its paragraph.
        number: how many words, fewer where the question has no more.
        seed: which words; a larger number adds to those of a smaller.
    """
    own = sorted(word for word in content_words(question.same_words) & content_words(paragraph) if len(word) > 1)
    random.Random(f"{seed} {question.same_words}").shuffle(own)
    return f"{' '.join(own[:number])}: {question.other_words}" if number else question.other_words


def windows(text: str, size: int, overlap: int = 0) -> list[str]:
    """Chunks of ``size`` words of a text.

    >>> windows("one two three", 2)
    ['one two', 'three']
    """
    parts = text.split()
    return [" ".join(parts[i] for i in one) for one in chunks(len(parts), size, overlap)]


def prompt(question: str, paragraph: str, leave: bool = False) -> str:
    """Text before an answer of the chat model: the paragraph, then the question.

    Args:
        question: what is asked.
        paragraph: what the answer should be taken from; empty for none.
        leave: whether the model may say that the text has no answer.
    """
    asked = f"Text: {paragraph}\n\nQuestion: {question}" if paragraph else question
    before = [{"role": "system", "content": READ + LEAVE * leave}] if paragraph else []
    return zoo.chat_text(CHAT_MODEL, [*before, {"role": "user", "content": asked}])


def answers(model: Any, tokenizer: Tokenizer, prompts: Sequence[str]) -> list[str]:
    """Greedy answers of the chat model."""
    return [text.strip() for text in continuations(model, tokenizer, prompts, LONGEST)]


def question_likelihood(model: Any, tokenizer: Tokenizer, question: str, paragraphs: Sequence[str]) -> Tensor:
    """Mean log-probability of the question's tokens after each paragraph, under the chat model: (paragraphs,)."""
    texts = [(f"Text: {text}\n\nQuestion:", f" {question}") for text in paragraphs]
    return torch.tensor([total / n for total, n in log_probabilities(model, tokenizer, texts)])


def is_right(answer: str, question: Question) -> bool:
    """Whether an answer of the question stands in a text as whole words.

    >>> from companion.data.primer_questions import questions
    >>> [is_right(text, questions()[1]) for text in ("It ran ten minutes slow.", "It was often slow.")]
    [True, False]
    """
    return any(re.search(rf"\b{re.escape(right)}\b", answer.lower()) for right in question.answers)


def declines(answer: str) -> bool:
    """Whether an answer says that the text has none.

    >>> declines("It is not in the text.")
    True
    """
    return bool(re.search(r"\bnot (in|mentioned|said|stated|given|specified|provided)\b", answer.lower()))
