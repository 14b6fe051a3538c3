"""Sentences for events, in English and in Chinese, and the tokenizers that read them.

Values stand last in the questions (*Where is Tom? garden.*), so that the answer follows the name that was asked for.
The question mark is written, and is no token: the tokenizer drops it. Chapter: ``book/concepts/storyworld.ipynb``.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from companion.data.tokenization import END_OF_TEXT
from companion.storyworld.lexicon import MOODS, OBJECTS, PEOPLE, PLACES, PRONOUNS
from companion.storyworld.state import Event

# What pre_tokenizers.Whitespace() takes for words and for signs, spelled so that JavaScript, whose \w is ASCII, agrees.
IN_WORDS = r"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}"
WORDS_AND_SIGNS = rf"[{IN_WORDS}]+|[^\s{IN_WORDS}]+"

# Words in braces are the fields of an event.
TEMPLATES = {
    "en": {
        "be": "{subject} is in the {place} .",
        "go": "{subject} goes to the {place} .",
        "take": "{subject} takes the {object} .",
        "give": "{subject} gives {other} the {object} .",
        "get": "{subject} gets the {object} from {other} .",
        "feel": "{subject} feels {word} .",
        "where": "Where is {subject} ? {place} .",
        "find": "Where is the {object} ? {other} {place} .",
        "who": "Who has the {object} ? {other} .",
        "how": "How is {subject} ? {word} .",
        "see": "Can {subject} see {other} ? {word} .",
        "end": END_OF_TEXT,
    },
    "zh": {
        "be": "{subject} 在 {place} 。",
        "go": "{subject} 去 {place} 。",
        "take": "{subject} 拿起 {object} 。",
        "give": "{subject} 把 {object} 给 {other} 。",
        "get": "{subject} 从 {other} 那里 得到 {object} 。",
        "feel": "{subject} 很 {word} 。",
        "where": "哪里 有 {subject} ？ {place} 。",
        "find": "哪里 有 {object} ？ {other} {place} 。",
        "who": "谁 有 {object} ？ {other} 。",
        "how": "怎么 形容 {subject} ？ {word} 。",
        "see": "{subject} 能不能 看见 {other} ？ {word} 。",
        "end": END_OF_TEXT,
    },
}
LANGUAGES = tuple(TEMPLATES)
QUESTION_MARKS = ("?", "？")
UNKNOWN = "[UNK]"
FIELDS = {"subject", "place", "object", "other", "word"}
CHINESE = {**PLACES, **OBJECTS, **MOODS, **{name: zh for name, (zh, _) in PEOPLE.items()}, "yes": "能", "no": "不能"}
_ENGLISH = {chinese: english for english, chinese in CHINESE.items()}


@lru_cache(maxsize=200_000)
def say(event: Event, language: str) -> tuple[str, ...]:
    """Tokens of an event's sentence.

    >>> say(Event("go", "Tom", place="park"), "en"), say(Event("go", "Tom", place="park"), "zh")
    (('Tom', 'goes', 'to', 'the', 'park', '.'), ('汤姆', '去', '公园', '。'))
    """
    return tuple(word for word, _ in tagged(event, language))


def tagged(event: Event, language: str) -> list[tuple[str, str]]:
    """Tokens of an event's sentence, each with the field of the event that it stands for ("" for other words).

    >>> tagged(Event("take", "Tom", object="lamp"), "en")
    [('Tom', 'subject'), ('takes', ''), ('the', ''), ('lamp', 'object'), ('.', '')]
    """
    parts = (part for part in TEMPLATES[language][event.kind].split() if part not in QUESTION_MARKS)
    return [(word(event, part[1:-1], language), part[1:-1]) if part[0] == "{" else (part, "") for part in parts]


def word(event: Event, field: str, language: str) -> str:
    """Word for one field of an event: a name, or the pronoun in its place.

    >>> word(Event("go", "Anna", place="park", pronoun=True), "subject", "en")
    'She'
    """
    if field == "subject" and event.pronoun:
        return PRONOUNS[PEOPLE[event.subject][1]][LANGUAGES.index(language)]
    value = getattr(event, field)
    return value if language == "en" else CHINESE[value]


def value_of(token: str, language: str) -> str:
    """English word of a name, place, object, mood or answer, which is its value in an event.

    >>> value_of("公园", "zh")
    'park'

    Raises:
        KeyError: when the token is none of these.
    """
    return token if language == "en" else _ENGLISH[token]


def write(event: Event, language: str) -> str:
    """Written sentence of an event, with its question mark.

    >>> write(Event("where", "Tom", place="park"), "en")
    'Where is Tom? park.'
    """
    if event.kind == "end":
        return ""
    parts = TEMPLATES[language][event.kind].split()
    words = [word(event, part[1:-1], language) if part[0] == "{" else part for part in parts]
    joined = (" " if language == "en" else "").join(words)
    return re.sub(r" (?=[?.])", "", joined)


def vocabulary(language: str, people: list[str], places: list[str], objects: list[str], moods: list[str]) -> list[str]:
    """Vocabulary of a world: the end of a text, the unknown word, the words of the sentences, the names."""
    parts = [part for template in TEMPLATES[language].values() for part in template.split()]
    fixed = sorted({part for part in parts if part[0] != "{"} - {END_OF_TEXT, *QUESTION_MARKS})
    pronouns = sorted({PRONOUNS[PEOPLE[person][1]][LANGUAGES.index(language)] for person in people})
    named = [*people, *places, *objects, *moods, "yes", "no"]
    words = named if language == "en" else [CHINESE[name] for name in named]
    return [END_OF_TEXT, UNKNOWN, *fixed, *pronouns, *words]


def make_tokenizer(language: str, words: list[str], specials: Sequence[str] = ()) -> Tokenizer:
    """Word-level tokenizer, which puts ``<|endoftext|>`` (id 0) before each text.

    Its model is WordPiece without pieces: a word of the list, or ``[UNK]``. Chinese is cut by longest match with the
    list. ``specials`` are further tokens, see :meth:`companion.storyworld.World.tokenizer`.
    """
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token=UNKNOWN))
    marks = "".join(QUESTION_MARKS)
    if language == "en":
        tokenizer.normalizer = normalizers.Replace(Regex(f"[{marks}]"), " ")
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(WORDS_AND_SIGNS), "removed", invert=True)
        tokenizer.decoder = decoders.WordPiece(cleanup=True)
    else:
        longest_first = "|".join(sorted(words[2:], key=lambda w: (-len(w), w)))
        tokenizer.normalizer = normalizers.Replace(Regex(rf"[{marks}\s]"), "")
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(longest_first), "isolated")
        tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([END_OF_TEXT, *specials])
    framed = {"[CLS]", "[SEP]"} <= set(specials)
    numbered = [(token, tokenizer.token_to_id(token)) for token in (END_OF_TEXT, *specials)]
    if framed:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=numbered
        )
    else:
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{END_OF_TEXT} $A", special_tokens=numbered)
    return tokenizer
