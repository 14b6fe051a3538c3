"""What the chapter on in-context learning runs: word tasks, film reviews, and a small world of dictionaries.

Chapter: ``book/algorithms/in_context_learning.ipynb``; ``benchmarks/in_context_learning.py`` runs all of it.
"""

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from companion.data import reviews
from companion.generation.in_context_learning import Format, Pair
from companion.losses.cross_entropy import cross_entropy
from companion.models.gpt import GPT, GPTConfig
from companion.nn.initialization import mimetic_initialization, sinusoidal_initialization
from companion.training.loop import fit
from companion.training.settings import Optimization

ARROW = Format("", " ->", "\n")


class WordTask(NamedTuple):
    """Task from one word to another.

    Attributes:
        train: pairs that demonstrations are drawn from.
        test: pairs that are asked; no input of one list is in the other.
        sentence: format in words, beside the arrow.
        question: what a chat model is asked, with {} for the input.
    """

    train: list[Pair]
    test: list[Pair]
    sentence: Format
    question: str

    def draw(self, shots: int, seed: int) -> list[Pair]:
        """Demonstrations in random order; of one seed, fewer shots are the first of more.

        >>> TASKS["capital"].draw(2, seed=0) == TASKS["capital"].draw(8, seed=0)[:2]
        True
        """
        order = random.Random(seed).sample(self.train, len(self.train))
        return order[:shots]


def _pairs(text: str) -> list[Pair]:
    words = (pair.strip().split(":") for pair in text.split(","))
    return [(given, output) for given, output in words]


TASKS = {
    "past tense": WordTask(
        _pairs(
            "go:went, walk:walked, see:saw, play:played, drink:drank, open:opened, write:wrote, help:helped, "
            "run:ran, ask:asked, eat:ate, laugh:laughed, give:gave, wait:waited, know:knew, talk:talked, feel:felt, "
            "climb:climbed"
        ),
        _pairs(
            "take:took, come:came, break:broke, speak:spoke, sing:sang, swim:swam, fall:fell, find:found, hold:held, "
            "keep:kept, sleep:slept, leave:left, buy:bought, think:thought, stand:stood, jump:jumped, look:looked, "
            "cook:cooked, clean:cleaned, paint:painted, push:pushed, pull:pulled, watch:watched, start:started, "
            "finish:finished, answer:answered, call:called, rain:rained, smile:smiled, follow:followed"
        ),
        Format("Today I ", ". Yesterday I", ".\n"),
        "What is the past tense of the verb {}?",
    ),
    "capital": WordTask(
        _pairs(
            "France:Paris, Japan:Tokyo, Egypt:Cairo, Norway:Oslo, Peru:Lima, Kenya:Nairobi, Cuba:Havana, "
            "Iraq:Baghdad, Austria:Vienna, Hungary:Budapest, Thailand:Bangkok, Ireland:Dublin, Ghana:Accra, "
            "Iran:Tehran, Chile:Santiago, Ukraine:Kyiv, Syria:Damascus, Bulgaria:Sofia"
        ),
        _pairs(
            "Italy:Rome, Spain:Madrid, Germany:Berlin, Russia:Moscow, China:Beijing, Greece:Athens, Portugal:Lisbon, "
            "Poland:Warsaw, Sweden:Stockholm, Finland:Helsinki, Denmark:Copenhagen, Belgium:Brussels, Turkey:Ankara, "
            "Canada:Ottawa, Argentina:Buenos Aires, Venezuela:Caracas, Colombia:Bogotá, India:New Delhi, "
            "Nepal:Kathmandu, Vietnam:Hanoi, Indonesia:Jakarta, Afghanistan:Kabul, Pakistan:Islamabad, "
            "Lebanon:Beirut, Jordan:Amman, Romania:Bucharest, Serbia:Belgrade, Morocco:Rabat, Ethiopia:Addis Ababa, "
            "Senegal:Dakar"
        ),
        Format("Q: What is the capital of ", "? A:", "\n"),
        "What is the capital of {}?",
    ),
    "antonym": WordTask(
        _pairs(
            "hot:cold, early:late, rich:poor, up:down, wet:dry, clean:dirty, loud:quiet, first:last, empty:full, "
            "buy:sell, love:hate, wide:narrow, sweet:bitter, push:pull, inside:outside, begin:end, true:false, "
            "weak:strong"
        ),
        _pairs(
            "big:small, good:bad, fast:slow, old:new, high:low, light:dark, left:right, open:closed, happy:sad, "
            "hard:soft, long:short, near:far, young:old, thick:thin, heavy:light, win:lose, cheap:expensive, "
            "black:white, male:female, day:night, north:south, east:west, yes:no, before:after, above:below, "
            "friend:enemy, war:peace, summer:winter, question:answer, alive:dead"
        ),
        Format("The opposite of ", " is", ".\n"),
        "What is the opposite of the word {}?",
    ),
    "French": WordTask(
        _pairs(
            "dog:chien, house:maison, water:eau, red:rouge, book:livre, hand:main, sun:soleil, bread:pain, "
            "black:noir, night:nuit, school:école, apple:pomme, mother:mère, street:rue, three:trois, child:enfant, "
            "milk:lait, green:vert"
        ),
        _pairs(
            "cat:chat, tree:arbre, fire:feu, white:blanc, king:roi, head:tête, moon:lune, cheese:fromage, blue:bleu, "
            "day:jour, church:église, egg:œuf, father:père, door:porte, two:deux, woman:femme, wine:vin, "
            "bird:oiseau, fish:poisson, horse:cheval, sea:mer, star:étoile, heart:cœur, friend:ami, year:an, "
            "man:homme, four:quatre, city:ville, flower:fleur, snow:neige"
        ),
        Format("English: ", ". French:", "\n"),
        "What is the French word for {}?",
    ),
}

CODE_INPUTS = "table river apple cloud horse paper stone music chair bread glass tiger ship green lamp road"
CODE_OUTPUTS = "king plate seven ocean button winter doctor engine garden rice mirror wolf sand bell iron tree"


def code(pairs: int, seed: int) -> list[Pair]:
    """Code that nobody has read before: words and other words that stand for them, paired at random.

    >>> code(2, seed=0) == code(2, seed=0)
    True
    """
    draw = random.Random(seed)
    return list(zip(draw.sample(CODE_INPUTS.split(), pairs), draw.sample(CODE_OUTPUTS.split(), pairs), strict=True))


def mispaired(pairs: Sequence[Pair], seed: int) -> list[Pair]:
    """The same inputs and outputs, each input with the output of another.

    >>> mispaired([("go", "went"), ("see", "saw")], seed=0)
    [('go', 'saw'), ('see', 'went')]
    """
    order = random.Random(seed).sample(range(len(pairs)), len(pairs))
    following = dict(zip(order, [*order[1:], order[0]], strict=True))  # one circle, so that none keeps its own
    return [(given, pairs[following[place]][1]) for place, (given, _) in enumerate(pairs)]


# film reviews

REVIEW = Format("Review: ", "\nSentiment:", "\n\n")
POLARITIES = ("negative", "positive")
CLEAR = 1.0  # least distance of a mean rating from neutral
LONGEST = 16  # words


class Opinions(NamedTuple):
    """Film reviews with their polarity.

    Attributes:
        train: reviews that demonstrations are drawn from.
        test: reviews that are asked, as many negative as positive.
    """

    train: list[Pair]
    test: list[Pair]


def opinions(tested: int) -> Opinions:
    """Short sentences of film reviews on which the raters were clear.

    Args:
        tested: number of reviews to ask, half of them positive.

    Raises:
        companion.data.fetched.NotFetchedError: when they cannot be fetched.
    """
    clear = [one for one in reviews.opinions(reviews.movie_reviews(), CLEAR) if len(one.text.split()) <= LONGEST]
    parts = reviews.split(clear)
    train, test = ([(one.text, POLARITIES[one.rating > 0]) for one in part] for part in (parts.train, parts.test))
    halves = [[one for one in test if one[1] == polarity][: tested // 2] for polarity in POLARITIES]
    return Opinions(train, [*halves[0], *halves[1]])


# dictionaries: a world whose tasks are known

WORDS = 6  # inputs, and as many outputs
PAIRS = 12  # of a text
SLIP = 0.01  # probability that an answer is not the dictionary's, for Bayes' rule
STEPS, ROWS, RATE = 300, 32, 0.005


def few_dictionaries(count: int, seed: int) -> Tensor:
    """Dictionaries drawn at random, each an output for each input: (count, WORDS).

    >>> few_dictionaries(2, seed=0).shape
    torch.Size([2, 6])
    """
    return torch.randint(WORDS, (count, WORDS), generator=torch.Generator().manual_seed(seed))


def all_dictionaries() -> Tensor:
    """Every dictionary that there is: (WORDS ** WORDS, WORDS).

    >>> all_dictionaries().shape
    torch.Size([46656, 6])
    """
    return torch.cartesian_prod(*[torch.arange(WORDS)] * WORDS)


def texts(dictionaries: Tensor, count: int, seed: int) -> Tensor:
    """Texts of one dictionary each: an input, its output, an input, its output …: (count, 2 PAIRS).

    Inputs are tokens 0 to WORDS - 1, and outputs are those that follow.

    >>> texts(torch.zeros(1, WORDS, dtype=torch.long), count=1, seed=0)[0, 1::2].unique()
    tensor([6])
    """
    draw = torch.Generator().manual_seed(seed)
    chosen = dictionaries[torch.randint(len(dictionaries), (count,), generator=draw)]
    inputs = torch.randint(WORDS, (count, PAIRS), generator=draw)
    return torch.stack([inputs, WORDS + chosen.gather(1, inputs)], -1).flatten(1)


def outputs_loss(model: nn.Module, ids: Tensor) -> Tensor:
    """Cross-entropy of the outputs alone, in nats; inputs are drawn at random and cannot be known."""
    return cross_entropy(model(ids[:, :-1])[:, ::2], ids[:, 1::2])


def dictionary_reader(dictionaries: Tensor, seed: int, steps: int = STEPS) -> GPT:
    """GPT of two layers, trained on texts of these dictionaries; a seed sets its initial weights and its texts.

    Keys begin equal to queries, and positions as sinusoids, so that it learns in seconds what else takes minutes.

    >>> dictionary_reader(few_dictionaries(2, seed=0), seed=0, steps=2).config.n_layers
    2
    """
    torch.manual_seed(seed)
    model = GPT(GPTConfig(2 * WORDS, 2 * PAIRS, n_layers=2, n_heads=4, d_model=64))
    sinusoidal_initialization(model)
    mimetic_initialization(model)

    def batches() -> Iterator[Tensor]:
        for step in range(steps):
            yield texts(dictionaries, ROWS, seed=seed * 100_000 + step)

    optimization = Optimization("muon", weight_decay=0.0, schedule="linear")
    fit(
        model,
        batches(),
        steps=steps,
        loss=outputs_loss,
        learning_rate=RATE,
        optimization=optimization,
        progress=False,
    )
    return model


@torch.no_grad()
def output_probabilities(model: nn.Module, ids: Tensor) -> Tensor:
    """Probability of each output after each input of the texts: (texts, PAIRS, WORDS)."""
    probabilities: Tensor = model(ids[:, :-1])[:, ::2].softmax(-1)[..., WORDS:]
    return probabilities


def likelihoods(dictionaries: Tensor, slip: float = SLIP) -> Tensor:
    """Log p(output | input, dictionary): (dictionaries, WORDS inputs, WORDS outputs).

    >>> likelihoods(torch.tensor([[0, 0, 0, 0, 0, 1]])).exp()[0, 5]
    tensor([0.0020, 0.9900, 0.0020, 0.0020, 0.0020, 0.0020])
    """
    table = torch.full((*dictionaries.shape, WORDS), slip / (WORDS - 1))
    return table.scatter(-1, dictionaries[..., None], 1 - slip).log()
