"""The directive ``self-check``: a question whose answers explain themselves, in the page and without a script.

Its content is the question and a task list; the right answer is ticked, and below each answer stands what a reader
sees who chooses it::

    ```{self-check}
    What does a softmax over one score return?

    - [x] One.

      The only weight takes all.
    - [ ] The score.

      A softmax returns weights: numbers above 0 that add up to 1.
    - [ ] A half.

      That is what each of *two* equal scores gets.
    ```

In the page each answer is a ``<details>`` of one group, so that opening one closes the others. What the page adds
passes through the message catalogue of :mod:`words`.
"""

from html import escape
from typing import Any, NamedTuple

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.writers.html5 import HTML5Translator

from words import word

RIGHT, WRONG, LABEL = "Right.", "Not so.", "Question to check yourself"
ANSWER = "Answer"  # where answers are numbered
WORDS = (RIGHT, WRONG, LABEL, ANSWER)


class self_check(nodes.General, nodes.Element):  # in lower case, as docutils has it
    """A question and its answers."""


class check_answer(nodes.General, nodes.Element):
    """One answer: a :class:`check_choice`, then what is said to who chooses it."""


class check_choice(nodes.Part, nodes.TextElement):
    """What an answer says: text that a translator translates by itself."""


class Answer(NamedTuple):
    """An answer as written: the paragraph of its choice, its explanation, and whether it is ticked."""

    choice: nodes.paragraph
    explanation: list[nodes.Node]
    right: bool


class SelfCheck(SphinxDirective):
    """``self-check``: a question with one right answer and two or more wrong ones, each explained."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the question as nodes; what is not a question is an error of the page."""
        self.assert_has_content()
        parsed = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, parsed)
        if len(parsed) < 2 or not isinstance(parsed[-1], nodes.bullet_list):
            raise self.error("a self-check is a question and, at its end, a list of answers")
        answers = [self.answer(item) for item in parsed[-1]]
        right = sum(answer.right for answer in answers)
        if right != 1 or len(answers) < 3:
            raise self.error(f"one answer must be right and two or more wrong: {right} of {len(answers)} is ticked [x]")
        group = f"self-check-{self.env.new_serialno('self-check')}"
        check = self_check("", *parsed[:-1])
        check += [built(answer, group) for answer in answers]
        self.set_source_info(check)
        return [check]

    def answer(self, item: nodes.Node) -> Answer:
        """Return an answer out of an item of the list; an error where it has no tick box or no explanation."""
        first, *explanation = item.children
        box = first.children[0] if first.children else None
        if not (isinstance(first, nodes.paragraph) and isinstance(box, nodes.raw)):
            raise self.error(f"an answer begins with [x] or [ ]: {first.astext()!r}")
        first.remove(box)
        if not explanation:
            raise self.error(f"an answer needs an explanation below it: {first.astext().strip()!r}")
        return Answer(first, explanation, "checked" in box.astext().split("type=")[0])


def built(answer: Answer, group: str) -> check_answer:
    """Return the node of an answer, one of a group of which one at a time is open."""
    choice = check_choice(answer.choice.rawsource, "", *answer.choice.children)
    choice.source, choice.line = answer.choice.source, answer.choice.line
    return check_answer("", choice, *answer.explanation, right=answer.right, group=group)


def visit_check(self: HTML5Translator, _node: self_check) -> None:
    """Open the group."""
    self.body.append(f'<div class="self-check" role="group" aria-label="{escape(word(LABEL))}">\n')


def depart_check(self: HTML5Translator, _node: self_check) -> None:
    """Close the group."""
    self.body.append("</div>\n")


def visit_answer(self: HTML5Translator, node: check_answer) -> None:
    """Open an answer that unfolds."""
    kind = "right" if node["right"] else "wrong"
    self.body.append(f'<details class="self-check-{kind}" name="{node["group"]}">\n')


def depart_answer(self: HTML5Translator, _node: check_answer) -> None:
    """Close what a choice unfolds."""
    self.body.append("</div></details>\n")


def visit_choice(self: HTML5Translator, node: check_choice) -> None:
    """Open what one clicks; a formula alone is no name that a screen reader says, so its source becomes one."""
    words = [text for text in node.findall(nodes.Text) if text.strip() and not isinstance(text.parent, nodes.math)]
    name = "" if words else f' aria-label="{escape(node.astext().strip())}"'
    self.body.append(f"<summary{name}>")


def depart_choice(self: HTML5Translator, node: check_choice) -> None:
    """Close it, and say first whether the answer is right."""
    verdict = RIGHT if node.parent["right"] else WRONG
    self.body.append(
        f'</summary>\n<div class="self-check-why"><p class="self-check-verdict">{escape(word(verdict))}</p>'
    )


def nothing(_self: Any, _node: nodes.Node) -> None:
    """Add nothing of its own, in a format that does not unfold."""


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.setup_extension("words")
    for node, html in (
        (self_check, (visit_check, depart_check)),
        (check_answer, (visit_answer, depart_answer)),
        (check_choice, (visit_choice, depart_choice)),
    ):
        plain = (nothing, nothing)
        app.add_node(node, html=html, latex=plain, text=plain, man=plain, texinfo=plain)
    app.add_directive("self-check", SelfCheck)
    app.add_css_file("self_check.css")
    return {"version": "1", "env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}
