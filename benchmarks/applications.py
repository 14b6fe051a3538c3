"""Eight uses of published models, each beside something trivial on the same items.

    python benchmarks/applications.py

The parts are those of `companion.lessons.applications`: labels of film reviews, names in stories of the primer,
answers, summaries, translated names of countries, small programs, facts of the story world as a graph with questions to
it, and a chat of two turns that searches the primer. Each row has one number for each item, so that methods can be
compared in pairs; a list of lists has one list for each of five draws of demonstrations. Each part is written when it
is done. The chat model computes in bfloat16, which takes half the memory, and is three times as fast on a processor
that has it.
"""

import json
import random
import re
import time
from collections.abc import Callable
from typing import Any

import report
import torch

from companion import zoo
from companion.data.primer_questions import follow_ups, paragraphs, people, questions
from companion.data.reviews import lexicon
from companion.generation.in_context_learning import SharedPrompt
from companion.lessons.applications import experiments as e
from companion.lessons.applications.experiments.programs import PROGRAMMER, TASKS, TRIVIAL, code_of, is_right
from companion.lessons.in_context_learning.experiments import POLARITIES, REVIEW, opinions
from companion.lessons.limits.experiments import END
from companion.lessons.retrieval.experiments import means, token_vectors
from companion.lessons.train_save_serve.experiments import Features, embedded, fit_head
from companion.losses.contrastive import similarity
from companion.storyworld import World, triples

DRAWS, TESTED, SHOTS, LABELS, STORIES = 5, 60, 4, 200, 6
Table = dict[str, Any]


class Models:
    """The chat model and the encoder, loaded once."""

    def __init__(self) -> None:
        """Load them."""
        self.chat, self.tokenizer = zoo.load("smollm2-135m")
        self.chat.bfloat16()
        self.writer = e.Writer(self.chat, self.tokenizer)
        self.encoder, self.encoder_tokenizer = zoo.load("minilm-l6")

    def say(self, prompts: list[str], longest: int, grammars: list[Any] | None = None) -> list[str]:
        """Answers of the chat model, one after the other or in a grammar."""
        head = prompts[0][: prompts[0].index("\n") + 1]
        return self.writer.lines(head, [one[len(head) :] for one in prompts], longest, grammars, stop=END)


def classification(models: Models) -> Table:
    """Right labels of film reviews."""
    parts = opinions(TESTED)
    texts, labels = [one for one, _ in parts.test], [POLARITIES.index(label) for _, label in parts.test]
    scores = lexicon()
    by_words = [sum(scores.get(word, 0) for word in re.findall(r"[\w'-]+", text.lower())) > 0 for text in texts]
    truth = torch.tensor(labels)
    table: Table = {
        "always positive": [float(label == 1) for label in labels],
        "VADER's word list": [float(guess == label) for guess, label in zip(by_words, labels, strict=True)],
    }
    tested = embedded(texts)
    for seed in range(DRAWS):
        draw = random.Random(seed).sample(parts.train, LABELS)
        prompt = SharedPrompt(models.chat, models.tokenizer, REVIEW.prompt(draw[:SHOTS]))
        guess = prompt.log_probabilities([REVIEW.query(text) for text in texts], POLARITIES).argmax(-1)
        table.setdefault(f"chat model, {SHOTS} labels", []).append((guess == truth).double().tolist())
        known = embedded([text for text, _ in draw]), torch.tensor([POLARITIES.index(label) for _, label in draw])
        head = fit_head(Features(*known))
        guess = (tested @ head["weight"].T + head["bias"]).argmax(-1)
        table.setdefault(f"MiniLM, {LABELS} labels", []).append((guess == truth).double().tolist())
    return table


def entities(models: Models) -> Table:
    """Names found in the twenty stories of the primer that are asked about: right, given and true ones of each."""
    texts, gold = [paragraphs()[one.paragraph] for one in questions()[:20]], people()
    flat = [" ".join(text.split()) for text in texts]
    found, said = {"capitalised words": [e.capitalised(text) for text in flat]}, []
    for name, shown in (("two of four demonstrations say none", e.NAMED), ("one of three says none", e.NAMED[:3])):
        queries, grammars = [e.NAMES.query(text) for text in flat], [e.name_list(text) for text in flat]
        said += models.writer.lines(e.NAMES.prompt(shown), queries, 16, grammars)
        found[name] = [e.read_names(line) for line in said[-len(flat) :]]
    return {
        name: [[len(ours & true), len(ours), len(true)] for ours, true in zip(sets, gold, strict=True)]
        for name, sets in found.items()
    } | {"said": said}


def answers(models: Models) -> Table:
    """Answers to forty questions with their paragraph: whether a right one is in it, and F1 of its words.

    The free answers are long, so beside them stand as many words of the paragraph, taken anywhere.
    """
    asked, texts = questions(), paragraphs()
    given = [texts[one.paragraph] for one in asked]
    prompts = [e.told_to(e.ANSWER, [e.with_text(q.other_words, text)]) for q, text in zip(asked, given, strict=True)]
    said = {
        "word overlap": [e.by_overlap(q.other_words, text) for q, text in zip(asked, given, strict=True)],
        "chat model, free": models.say(prompts, 24),
        "chat model, words of the text": models.say(prompts, 12, [e.copied_answer(text) for text in given]),
    }
    table: Table = {
        name: {
            "right": [float(e.holds(one, q.answers)) for one, q in zip(row, asked, strict=True)],
            "f1": [e.token_f1(one, q.answers) for one, q in zip(row, asked, strict=True)],
            "said": row,
        }
        for name, row in said.items()
    }
    rows = zip(said["chat model, free"], given, asked, strict=True)
    long = [e.any_stretch(" ".join(text.split()), len(one.split()), q.answers) for one, text, q in rows]
    return table | {"as many words anywhere": {"right": long}}


def summary(models: Models) -> Table:
    """Whether a summary of the paragraph still holds the answer, beside as many words of the paragraph itself."""
    asked, texts = questions(), paragraphs()
    given = [" ".join(texts[one.paragraph].split()) for one in asked]
    said = models.say([e.told_to(e.SUMMARISE, [text]) for text in given], 40)
    rows = list(zip(said, given, asked, strict=True))
    return {
        "chat model": [float(e.holds(one, q.answers)) for one, _, q in rows],
        "the first words": [float(e.holds(e.opening(text, len(one.split())), q.answers)) for one, text, q in rows],
        "words anywhere": [e.any_stretch(text, len(one.split()), q.answers) for one, text, q in rows],
        "grounded": [e.grounded(one, text) for one, text, _ in rows],
        "words": [len(one.split()) for one in said],
        "of": [len(text.split()) for text in given],
        "said": said,
    }


def translation(models: Models) -> Table:
    """French names of countries and regions."""
    table: Table = {}
    for seed in range(DRAWS):
        shown, test = e.names_to_translate(60, SHOTS, seed)
        said = models.writer.lines(e.FRENCH.prompt(shown), [e.FRENCH.query(name) for name, _ in test], 16)
        right = [float(one.casefold() == true.casefold()) for one, (_, true) in zip(said, test, strict=True)]
        table.setdefault("chat model", []).append(right)
        table["the English name"] = [float(name.casefold() == true.casefold()) for name, true in test]
        table["said"] = [[name, true, one] for one, (name, true) in zip(said, test, strict=True)]
    return table


def programs(models: Models) -> Table:
    """Small programs that return what they should: asked for by name and in words, and by one of them alone."""
    ways = {
        "name and words": {},
        "name alone": {"described": False},
        "words alone": {"named": False},
    }
    table: Table = {"its argument": [float(is_right(task, TRIVIAL)) for task in TASKS]}
    said: Table = {}
    for way, parts in ways.items():
        replies = models.say([e.told_to(PROGRAMMER, [task.request(**parts)]) for task in TASKS], 96)
        table[way] = [float(is_right(task, code_of(reply))) for task, reply in zip(TASKS, replies, strict=True)]
        said[way] = replies
    return table | {"said": said}


def extraction(models: Models) -> Table:
    """Facts of six stories in two wordings, and what a graph of them answers."""
    stories = World().stories(STORIES, seed="applications")
    return {
        name: _extracted(models, stories, how)
        for name, how in (("told", triples.told_facts), ("reworded", triples.reworded_facts))
    }


def _extracted(models: Models, stories: list[Any], wording: Callable[..., Any]) -> Table:
    told = [wording(story) for story in stories]
    flat = [one for story in told for one in story]
    found: dict[str, list[list[Any]]] = {
        "first word, last word": [[triples.by_position(one.text) for one in flat]],
        "rules": [[triples.by_rules(one.text) for one in flat]],
    }
    asked = triples.place_questions(stories)
    places = sorted(World().process.places)
    direct: list[list[float]] = []
    for seed in range(DRAWS):
        prompt = e.FACT.prompt(e.demonstrations(wording, seed))
        queries = [e.FACT.query(one.text) for one in flat]
        free = models.writer.lines(prompt, queries, 16)
        found.setdefault("chat model, free", []).append([e.read_triple(line) for line in free])
        lines = models.writer.lines(prompt, queries, 16, [e.copied_triple(one.text) for one in flat])
        found.setdefault("chat model, in a grammar", []).append([e.read_triple(line) for line in lines])
        if wording is not triples.told_facts:
            continue
        shared = SharedPrompt(models.chat, models.tokenizer, e.WHERE.prompt(e.story_demonstrations(wording, seed)))
        texts = [e.asked_of(" ".join(s.text for s in told[q.story]), q.text) for q in asked]
        best = shared.log_probabilities([e.WHERE.query(text) for text in texts], places).argmax(-1).tolist()
        direct.append([float(places[i] == q.answer) for i, q in zip(best, asked, strict=True)])
    table: Table = {"facts": {}, "given": {}, "places": {"asked directly": direct} if direct else {}}
    for name, draws in found.items():
        table["facts"][name] = [
            [float(fact == one.fact) for fact, one in zip(draw, flat, strict=True)] for draw in draws
        ]
        table["given"][name] = [sum(fact is not None for fact in draw) for draw in draws]
        table["places"][name] = [_from_graph(draw, told, asked) for draw in draws]
    last = [[one.fact[2] for one in story if one.fact[1] == "is in"][-1] for story in told]
    table["places"]["the last place named"] = [[float(last[q.story] == q.answer) for q in asked]]
    table["steps"] = [2 if "the" in q.text.split() else 1 for q in asked]
    return table


def _from_graph(flat: list[Any], told: list[Any], asked: list[Any]) -> list[float]:
    facts = iter(flat)
    graphs = [triples.last_told([next(facts) for _ in story]) for story in told]
    return [float(triples.place_of(q.subject, graphs[q.story]) == q.answer) for q in asked]


def chat(models: Models) -> Table:
    """The second question of a chat: the paragraph that is found, and the answer."""
    first, second, texts = questions()[:20], follow_ups(), paragraphs()
    encoded = means(token_vectors(models.encoder, models.encoder_tokenizer, texts))
    keys = {
        "the last question": [later for later, _ in second],
        "both questions": [f"{one.same_words} {later}" for one, (later, _) in zip(first, second, strict=True)],
    }
    found: dict[str, list[int | None]] = {"no text": [None] * len(first)}
    for name, asked in keys.items():
        vectors = means(token_vectors(models.encoder, models.encoder_tokenizer, asked))
        found[name] = similarity(vectors, encoded).argmax(1).tolist()
    found["the right paragraph"] = [one.paragraph for one in first]
    table: Table = {}
    for name, rows in found.items():
        prompts = []
        for one, (later, _), row in zip(first, second, rows, strict=True):
            said = [one.same_words, one.answers[0], later if row is None else e.with_text(later, texts[row])]
            prompts.append(e.told_to(e.ANSWER, said))
        out = models.say(prompts, 24)
        table[name] = {
            "found": [float(row == one.paragraph) for one, row in zip(first, rows, strict=True)],
            "right": [float(e.holds(text, right)) for text, (_, right) in zip(out, second, strict=True)],
            "said": out,
        }
    return table


PARTS = (answers, extraction, entities, classification, translation, programs, summary, chat)


def without_texts(table: Table) -> Table:
    """The numbers of a part, without what the model said."""
    return {name: without_texts(one) if isinstance(one, dict) else one for name, one in table.items() if name != "said"}


def main() -> None:
    """Run the parts, and write each when it is done."""
    report.arguments(__doc__)
    models, table = Models(), dict[str, Any]()
    for part in PARTS:
        began = time.process_time()
        found = part(models)
        print(part.__name__, json.dumps(found), flush=True)
        table[part.__name__] = without_texts(found) | {"cpu_seconds": round(time.process_time() - began)}
        report.write("applications", table)


if __name__ == "__main__":
    main()
