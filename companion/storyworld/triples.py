"""Facts of stories as triples: which sentence tells which, in two wordings, and a graph that is asked for places.

Chapter: ``book/practice/applications.ipynb``.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from companion.storyworld import Event, Story
from companion.storyworld.language import write
from companion.storyworld.state import State
from companion.storyworld.views import facts

Triple = tuple[str, str, str]  # subject, relation, object
RELATIONS = ("is in", "has", "feels")
REWORDED = {  # of each kind of event
    "be": ("You will find {subject} in the {place}.", "The {place} is where {subject} is."),
    "go": ("{subject} has left for the {place}.", "Now {subject} walks over to the {place}."),
    "take": ("The {object} is now in the hands of {subject}.", "{subject} picks up the {object}."),
    "give": ("{subject} hands the {object} to {other}.", "The {object} passes from {subject} to {other}."),
    "get": ("{other} lets {subject} have the {object}.", "From {other}, {subject} receives the {object}."),
    "feel": ("How {word} {subject} is!", "It is plain that {subject} is {word}."),
}
RULES = (  # of the world's own sentences
    (r"(\w+) (?:is in|goes to) the (\w+)\.$", "is in"),
    (r"(\w+) takes the (\w+)\.$", "has"),
    (r"\w+ gives (\w+) the (\w+)\.$", "has"),
    (r"(\w+) gets the (\w+) from \w+\.$", "has"),
    (r"(\w+) feels (\w+)\.$", "feels"),
)


class Sentence(NamedTuple):
    """A sentence of a story, with the fact that it tells.

    Attributes:
        text: the sentence, with a name in the place of each pronoun.
        fact: who is where, has what, or feels how.
    """

    text: str
    fact: Triple


def told_facts(story: Story) -> list[Sentence]:
    """The sentences of a story in order, each with its fact.

    >>> from companion.storyworld import World
    >>> told_facts(World("tiny").stories(1)[0])[0]
    Sentence(text='Tom is in the kitchen.', fact=('Tom', 'is in', 'kitchen'))
    """
    return [Sentence(write(event._replace(pronoun=False), "en"), _fact(event)) for event in story.statements]


def reworded_facts(story: Story) -> list[Sentence]:
    """The same facts in other sentences, for which there are no rules.

    >>> from companion.storyworld import World
    >>> reworded_facts(World("tiny").stories(1)[0])[0]
    Sentence(text='You will find Tom in the kitchen.', fact=('Tom', 'is in', 'kitchen'))
    """
    return [
        Sentence(REWORDED[event.kind][place % 2].format(**event._asdict()), _fact(event))
        for place, event in enumerate(story.statements)
    ]


def _fact(event: Event) -> Triple:
    (fact,) = facts(State.after([event]))
    return fact


def by_position(text: str) -> Triple:
    """Triple of a rule that knows no grammar: the first word, the commonest relation, the last word.

    >>> by_position("Tom takes the lamp.")
    ('Tom', 'is in', 'lamp')
    """
    found = re.findall(r"\w+", text)
    return found[0], RELATIONS[0], found[-1]


def by_rules(text: str) -> Triple | None:
    """Triple by the rules of the world's own sentences, None where none fits.

    >>> by_rules("Tom takes the lamp."), by_rules("Tom picks up the lamp.")
    (('Tom', 'has', 'lamp'), None)
    """
    for rule, relation in RULES:
        if match := re.match(rule, text):
            return match[1], relation, match[2]
    return None


class PlaceQuestion(NamedTuple):
    """A question about a story, whose answer is a place.

    Attributes:
        story: number of the story.
        text: the question.
        subject: the person or thing that is asked for.
        answer: the right place.
    """

    story: int
    text: str
    subject: str
    answer: str


def place_questions(stories: Sequence[Story]) -> list[PlaceQuestion]:
    """Where each person and each thing that somebody has is at the end of each story.

    >>> from companion.storyworld import World
    >>> [one.text for one in place_questions(World("tiny").stories(1))]
    ['Where is Tom?', 'Where is Anna?']
    """
    found = []
    for number, story in enumerate(stories):
        end = story.end
        found += [PlaceQuestion(number, f"Where is {person}?", person, place) for person, place in end.place.items()]
        found += [
            PlaceQuestion(number, f"Where is the {thing}?", thing, end.place[person])
            for thing, person in end.holder.items()
        ]
    return found


def last_told(facts_in_order: Sequence[Triple | None]) -> dict[tuple[str, str], str]:
    """What holds at the end: the last object of each subject and relation; a thing has one holder, the last.

    >>> last_told([("Tom", "is in", "park"), ("Tom", "has", "key"), ("Tom", "is in", "cellar"), ("Anna", "has", "key")])
    {('Tom', 'is in'): 'cellar', ('key', 'held by'): 'Anna'}
    """
    found: dict[tuple[str, str], str] = {}
    for fact in facts_in_order:
        if fact:
            subject, relation, thing = fact
            found |= {(thing, "held by"): subject} if relation == "has" else {(subject, relation): thing}
    return found


def place_of(subject: str, held: dict[tuple[str, str], str]) -> str | None:
    """Place of a person, or of a thing by who holds it: one step in the graph, or two.

    >>> place_of("key", {("Tom", "is in"): "cellar", ("key", "held by"): "Tom"})
    'cellar'
    """
    return held.get((held.get((subject, "held by"), subject), "is in"))
