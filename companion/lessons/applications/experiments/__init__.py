"""What the chapter on applications runs: uses of published models, each beside something trivial.

Chapter: ``book/practice/applications.ipynb``; ``benchmarks/applications.py`` runs all of it.
"""

import random
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from tokenizers import Tokenizer

from companion import zoo
from companion.data.paraphrases import content_words
from companion.data.word_pairs import split, word_pairs
from companion.generation.constrained import TokenMask
from companion.generation.grammar import Expression, choice, sequence, words
from companion.generation.in_context_learning import Format, Pair, SharedPrompt
from companion.generation.sampling import left_padded
from companion.lessons.inference.experiments import token_texts
from companion.lessons.limits.experiments import CHAT_MODEL
from companion.metrics.text import rouge_n
from companion.storyworld import Story, World
from companion.storyworld.state import STATEMENTS
from companion.storyworld.triples import RELATIONS, Sentence, Triple, place_questions

FACT = Format("Text: ", "\nFact:", "\n\n")
FRENCH = Format("English: ", "\nFrench:", "\n\n")
WHERE = Format("", "\nAnswer: the", "\n\n")
NAMES = Format("Text: ", "\nPeople:", "\n\n")
BATCH = 32  # texts computed at once
NEWLINE = "\n"


class Writer:
    """A published model that writes greedily, up to the end of the line or of its message.

    With a grammar for each query the output is in it, by :class:`companion.generation.constrained.TokenMask`.
    """

    def __init__(self, model: Any, tokenizer: Tokenizer) -> None:
        """Take a decoder-only model; the texts of its tokens are looked up once."""
        self.model, self.tokenizer = model, tokenizer
        self._texts = token_texts(tokenizer)

    def lines(
        self,
        prompt: str,
        queries: Sequence[str],
        longest: int,
        grammars: Sequence[Expression] | None = None,
        stop: str = NEWLINE,
    ) -> list[str]:
        """One output for each query, without the space at its beginning.

        Args:
            prompt: what all queries share, such as the demonstrations; not empty.
            queries: texts after the prompt.
            longest: largest number of tokens; what is longer is cut off.
            grammars: what each output must be, its first space included; anything when not given.
            stop: token that ends the output.
        """
        shared = SharedPrompt(self.model, self.tokenizer, prompt)
        encoded = [self.tokenizer.encode(query).ids for query in queries]
        end: int = self.tokenizer.encode(stop).ids[0]
        masks = [TokenMask(one, self._texts, end) for one in grammars] if grammars else [None] * len(queries)
        found: dict[int, str] = {}
        order = sorted(range(len(queries)), key=lambda i: len(encoded[i]))  # texts of like length, little padding
        for first in range(0, len(order), BATCH):
            some = order[first : first + BATCH]
            rows = self._greedy(shared, [encoded[i] for i in some], [masks[i] for i in some], longest, end)
            found |= {i: self.tokenizer.decode(row).strip() for i, row in zip(some, rows, strict=True)}
        return [found[i] for i in range(len(queries))]

    @torch.no_grad()
    def _greedy(
        self,
        shared: SharedPrompt,
        queries: Sequence[Sequence[int]],
        masks: Sequence[TokenMask | None],
        longest: int,
        end: int,
    ) -> list[list[int]]:
        """Tokens after each query, up to the first ``end``."""
        cache = shared.cache(len(queries))
        ids, real = left_padded(queries)
        real = torch.cat([real.new_ones(len(queries), cache[0].length), real], dim=1)  # the prompt, then the query
        states, written, going = [TokenMask.start] * len(ids), [list[int]() for _ in ids], [True] * len(ids)
        for _ in range(longest):
            logits = self.model(ids, attention_mask=real, cache=cache)[:, -1]
            for i, mask in enumerate(masks):
                if mask and going[i]:
                    logits[i].masked_fill_(~mask.allowed(states[i]), -torch.inf)
            ids = logits.argmax(-1, keepdim=True)
            real = torch.cat([real, real.new_ones(len(ids), 1)], dim=1)
            for i, (token, mask) in enumerate(zip(ids[:, 0].tolist(), masks, strict=True)):
                going[i] = going[i] and token != end
                if going[i]:
                    written[i].append(token)
                    states[i] = mask.after(states[i], token) if mask else TokenMask.start
            if not any(going):
                break
        return written


# From a text to a graph


def copied_triple(text: str) -> Expression:
    """Grammar of a triple whose subject and object are words of the text: ``Tom | has | lamp`` after a space.

    >>> copied_triple("Tom takes the lamp.").accepts(" Tom | has | lamp")
    True
    """
    own = words(*sorted(set(re.findall(r"\w+", text))))
    return sequence(words(" "), own, words(" | "), words(*RELATIONS), words(" | "), own)


def written_triple(triple: Triple) -> str:
    """A triple as the model writes it."""
    return " | ".join(triple)


def read_triple(line: str) -> Triple | None:
    """The triple of a line, None where it is none.

    >>> read_triple("Tom | has | lamp"), read_triple("Tom has the lamp.")
    (('Tom', 'has', 'lamp'), None)
    """
    parts = tuple(part.strip() for part in line.split("|"))
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 and parts[1] in RELATIONS else None


def demonstrations(wording: Callable[[Story], list[Sentence]], seed: int, each: int = 1) -> list[Pair]:
    """Sentences with their triples, so many of each kind of event, from stories of their own, in random order.

    Args:
        wording: :func:`companion.storyworld.triples.told_facts`, or ``reworded_facts`` beside it.
        seed: of the stories and the order.
        each: number for each kind of event.
    """
    draw, found = random.Random(seed), list[Pair]()
    left = dict.fromkeys(STATEMENTS, each)
    for story in World().stories(200, seed=f"demonstrations/{seed}"):
        for event, (text, fact) in zip(story.statements, wording(story), strict=True):
            if left[event.kind]:
                left[event.kind] -= 1
                found.append((text, written_triple(fact)))
    draw.shuffle(found)
    return found


# Names in a text


NAMED = (  # demonstrations
    ("On Monday Clara met Mr. Hill at the station in Leeds. He was late.", "Clara, Hill"),
    ("The river rose in April. Nobody in the village slept that night.", "none"),
    ('"Come in," said Aunt Petra. Igor wiped his boots. The Swan, a small inn, was full.', "Petra, Igor"),
    ("Bread needs flour, water and time.", "none"),
)


def name_list(text: str, most: int = 3) -> Expression:
    """Grammar of a list of names, each a capitalised word of the text, or ``none``, after a space.

    >>> name_list("Here Tom met Anna.").accepts(" Tom, Anna"), name_list("Here Tom met Anna.").accepts(" Otto")
    (True, False)
    """
    names = words(*sorted(set(re.findall(r"\b[A-Z]\w+", text)) | {"none"}))
    listed = sequence(words(" "), names)
    whole = [listed]
    for _ in range(most - 1):
        listed = sequence(listed, words(", "), names)
        whole.append(listed)
    return choice(*whole)


def read_names(line: str) -> set[str]:
    """Names of a list, as the model writes it.

    >>> sorted(read_names("Tom, Anna")), read_names("none")
    (['Anna', 'Tom'], set())
    """
    return {name.strip() for name in line.split(",")} - {"none", ""}


def capitalised(text: str) -> set[str]:
    """Capitalised words that begin no sentence: a rule for names.

    >>> sorted(capitalised('The cook met Anna. Then Tom came on Friday.'))
    ['Anna', 'Friday', 'Tom']
    """
    return set(re.findall(r"(?<=[a-z,;] )[A-Z]\w+", text))


# Answers, summaries, translations

ANSWER = "Answer the question with the text. Answer with one to three words."
SUMMARISE = "Summarize the text in one short sentence."


def told_to(system: str, said: Sequence[str]) -> str:
    """Text that the chat model continues: what it is told, then what user and assistant said in turn."""
    roles = ("user", "assistant")
    turns = [{"role": roles[place % 2], "content": one} for place, one in enumerate(said)]
    return zoo.chat_text(CHAT_MODEL, [{"role": "system", "content": system}, *turns])


def with_text(question: str, text: str) -> str:
    """A question below the text that has its answer."""
    return f"Text: {text}\n\nQuestion: {question}"


def copied_answer(text: str, most: int = 3) -> Expression:
    """Grammar of an answer: one to so many words that stand in the text one after the other.

    >>> copied_answer("a red leaf").accepts("red leaf"), copied_answer("a red leaf").accepts("leaf red")
    (True, False)
    """
    parts = re.findall(r"[\w'-]+", text)
    return words(*{" ".join(parts[i : i + n]) for n in range(1, most + 1) for i in range(len(parts) - n + 1)})


def by_overlap(question: str, text: str) -> str:
    """Answer of a rule: the last content word of the sentence that has most words of the question, not among them.

    >>> by_overlap("What did the cook burn?", "It rained. The cook burned the soup. All laughed.")
    'soup'
    """
    asked = content_words(question)
    sentences_ = [re.findall(r"[\w']+", part.lower()) for part in re.split(r"(?<=[.!?])\s+", text)]
    best = max(sentences_, key=lambda part: len(asked & set(part)))
    return next((word for word in reversed(best) if word in content_words(" ".join(best)) - asked), "")


def token_f1(answer: str, right: Collection[str]) -> float:
    """F1 of an answer's words against the nearest right answer; articles do not count.

    >>> round(token_f1("the red leaf", ["leaf"]), 3)
    0.667
    """
    ours = _counted(answer)
    return max(rouge_n(ours, _counted(one)) for one in right)


def _counted(text: str) -> list[str]:
    return [word for word in re.findall(r"\w+", text.lower()) if word not in ("a", "an", "the")]


def opening(text: str, number: int) -> str:
    """First words of a text, so many.

    >>> opening("It rained. All laughed.", 3)
    'It rained. All'
    """
    return " ".join(text.split()[:number])


def any_stretch(text: str, number: int, right: Collection[str]) -> float:
    """Probability that so many words in a row, drawn at random from a text, hold a right answer.

    >>> any_stretch("one two three four", 2, ["two"])
    0.6666666666666666
    """
    parts = text.split()
    places = range(max(1, len(parts) - number + 1))
    return sum(holds(" ".join(parts[i : i + number]), right) for i in places) / len(places)


def holds(text: str, right: Collection[str]) -> bool:
    """Whether one of the right answers stands in a text, as whole words.

    >>> holds("It ran ten minutes slow.", ["ten", "10"])
    True
    """
    return any(re.search(rf"\b{re.escape(one)}\b", text.lower()) for one in right)


def grounded(summary: str, text: str) -> float:
    """Fraction of a summary's content words that stand in the text.

    >>> grounded("The cook slept.", "The cook burned the soup.")
    0.5
    """
    said = content_words(summary)
    return len(said & content_words(text)) / len(said) if said else 1.0


def names_to_translate(number: int, shots: int, seed: int) -> tuple[list[Pair], list[Pair]]:
    """Demonstrations and held-out names of countries and regions, in English and in French.

    The held-out names are the same for every seed.
    """
    parts = split(pair for pair in word_pairs("fr") if pair.kind == "territory")
    train, test = ([(pair.english, pair.other) for pair in part] for part in (parts.train, parts.test))
    return random.Random(f"shots {seed}").sample(train, shots), random.Random(0).sample(test, number)


# Answers about a story, without a graph


def asked_of(story_text: str, question: str) -> str:
    """A story and a question about it, as the demonstrations write them."""
    return f"{story_text}\n{question}"


def story_demonstrations(wording: Callable[[Story], list[Sentence]], seed: int) -> list[Pair]:
    """Two stories with a question each, for a person and for a thing, and the places."""
    stories = World().stories(40, seed=f"asked/{seed}")
    found = list[Pair]()
    for kind in ("Where is the", "Where is"):
        one = next(q for q in place_questions(stories) if q.text.startswith(kind) and q.story >= 20 * len(found))
        text = " ".join(sentence.text for sentence in wording(stories[one.story]))
        found.append((asked_of(text, one.text), one.answer))
    return found
