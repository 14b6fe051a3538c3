"""Chats as text: messages are written one after the other by a model's own template, a program in Jinja.

Chapter: ``book/algorithms/modern_decoder.ipynb``. Source: the documentation of ``transformers``, "Chat templates". A
template comes with a model from elsewhere, so it runs in Jinja's sandbox, which lets it change nothing.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NoReturn

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from companion.data.checks import check_list

MARKS = re.compile(r"<\|[^|<>]+\|>|</?s>|\[/?INST\]")  # control tokens, as templates write them


def render_chat(template: str, messages: Sequence[Mapping[str, str]], *, answer: bool = True) -> str:
    """The text of a chat.

    >>> template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\\n{% endfor %}"
    >>> template += "{% if add_generation_prompt %}assistant:{% endif %}"
    >>> render_chat(template, [{"role": "user", "content": "Hello."}])
    'user: Hello.\\nassistant:'

    Args:
        template: of the model.
        messages: each with "role" ("system", "user" or "assistant") and "content".
        answer: whether the text ends where the assistant's answer begins.

    Raises:
        ValueError: when the template is wrong, or refuses the messages; when these are no list of messages, or one
            spells a control token of the template, which a model would take for the end of a turn.
    """
    _check(template, messages)
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = _refuse
    try:
        return environment.from_string(template).render(messages=messages, add_generation_prompt=answer)
    except TemplateError as error:
        raise ValueError(f"the chat template does not write these messages: {error}") from error


def _check(template: str, messages: Sequence[Mapping[str, str]]) -> None:
    check_list("messages", messages)
    marks = sorted(set(MARKS.findall(template)))
    for number, message in enumerate(messages):
        if not isinstance(message, Mapping) or not {"role", "content"} <= message.keys():
            raise ValueError(f'message {number} must have "role" and "content"; got {message!r:.80}')
        spelled = [mark for mark in marks if mark in str(message["content"])]
        if spelled:
            raise ValueError(f"message {number} spells {spelled[0]!r}, which the template writes between messages")


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)
