"""Requests of two hops that no story asks, *How is the key*, and an exact checker of the replies.

*How is the key* asks how the person feels who has the key: first who has it, then how that person is. The stories ask
both (*who*, *how*), and never the two together. Chapter: ``book/algorithms/assistants.ipynb``.
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

from companion.data.tokenization import END_OF_TEXT
from companion.storyworld.lexicon import MOODS
from companion.storyworld.views import told
from companion.storyworld.world import Story


class Request(NamedTuple):
    """A request about an English story.

    Attributes:
        prompt: tokens of the story and of the request.
        holder: person who has the thing, the first hop.
        mood: how that person feels, the second hop and the right answer.
    """

    prompt: tuple[str, ...]
    holder: str
    mood: str

    def reply(self, *working: str) -> tuple[str, ...]:
        """The right reply, after some words of working.

        >>> Request(("How", "is", "the", "key"), "Tom", "sad").reply("Tom")
        ('Tom', 'sad', '.', '<|endoftext|>')
        """
        return (*working, self.mood, ".", END_OF_TEXT)


def requests(stories: Sequence[Story], seed: int = 0) -> list[Request]:
    """One random request about each English story that allows it and has people who feel differently.

    Where all feel alike, the answer would need no look at who has what.

    >>> from companion.storyworld import World
    >>> one = requests(World().stories(40))[0]
    >>> one.prompt[-4:], one.holder, one.mood
    (('How', 'is', 'the', 'cake'), 'Jack', 'sad')
    """
    draw, found = random.Random(seed), []
    for story in stories:
        end = story.end
        things = [thing for thing, person in end.holder.items() if person in end.mood]
        if things and len(set(end.mood.values())) > 1:
            thing = draw.choice(things)
            holder = end.holder[thing]
            found.append(Request((*told(story), "How", "is", "the", thing), holder, end.mood[holder]))
    return found


def is_right(request: Request, reply: Sequence[str]) -> bool:
    """Whether a reply answers a request: it ends with the right mood, a full stop and the end, and names no other mood.

    The words before the mood are working, and are not judged.

    >>> asked = Request(("How", "is", "the", "key"), "Tom", "sad")
    >>> is_right(asked, ("Tom", "sad", ".", "<|endoftext|>")), is_right(asked, ("happy", "sad", ".", "<|endoftext|>"))
    (True, False)
    """
    moods = [word for word in reply if word in MOODS]
    return tuple(reply[-3:]) == request.reply() and len(moods) == 1
