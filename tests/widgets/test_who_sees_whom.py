"""WhoSeesWhom: what the page draws is what the package's own losses and masks say."""

import json
import re

import pytest
import torch
from node import run_node

from companion.losses.permutation import permute
from companion.losses.spans import corrupt
from companion.widgets import WhoSeesWhom
from companion.widgets.who_sees_whom import HIDDEN, OBJECTIVES

WORDS = [f"w{i}" for i in range(13)]
CHANCES = ("masked", "lost", "order", "predicted", "prefix")


@pytest.fixture
def lessons(root, tmp_path):
    """What the front end makes of [objective, words, what chance decided]."""

    def ask(questions: list) -> list[dict]:
        (tmp_path / "asked.json").write_text(json.dumps(questions), encoding="utf-8")
        return json.loads(
            run_node(root / "tests" / "widgets" / "frontend" / "sight_answers.js", tmp_path / "asked.json")
        )

    return ask


def test_the_masks_that_are_drawn_are_those_of_the_package(lessons):
    asked, expected = [], []
    for length in (2, 3, 5, 13):
        for seed in range(5):
            sight = WhoSeesWhom(" ".join(WORDS[:length]), seed=seed)
            for sight.objective in OBJECTIVES:
                chances = {name: getattr(sight, name) for name in CHANCES}
                asked.append([sight.objective, WORDS[:length], chances])
                expected.append([mask.tolist() for mask in sight.masks()])
    drawn = [[matrix["allowed"] for matrix in lesson["matrices"]] for lesson in lessons(asked)]
    assert drawn == expected


def test_what_t5_reads_and_is_asked_for_is_what_span_corruption_makes(lessons):
    n = len(WORDS)
    names = [*WORDS, *(f"⟨{k + 1}⟩" for k in range(n)), "⟨end⟩", "⟨start⟩"]
    options = {"sentinel_ids": range(n, 2 * n), "end_id": 2 * n, "start_id": 2 * n + 1, "noise_density": 0.4}
    asked, expected = [], []
    for seed in range(20):
        chance = torch.Generator().manual_seed(seed)
        batch = corrupt(torch.arange(n)[None], None, **options, mean_length=2, generator=chance)
        lost = [i for i in range(n) if i not in batch.inputs]
        asked.append(["spans", WORDS, {"lost": lost}])
        expected.append([[names[i] for i in row[0]] for row in (batch.inputs, batch.decoder_inputs, batch.targets)])
    found = [
        [*(words for _, words in lesson["inputs"]), [target["word"] for target in lesson["targets"]]]
        for lesson in lessons(asked)
    ]
    assert found == expected


def test_what_xlnet_is_asked_for_and_reads_is_what_its_loss_draws(lessons):
    for seed in range(5):
        batch = permute(torch.arange(13)[None], None, fraction=HIDDEN, generator=torch.Generator().manual_seed(seed))
        chances = {"order": batch.order[0].tolist(), "predicted": batch.predict.size(1)}
        (lesson,) = lessons([["permutation", WORDS, chances]])
        assert [target["word"] for target in lesson["targets"]] == [WORDS[i] for i in batch.targets[0]]
        query = torch.tensor(lesson["matrices"][1]["allowed"])
        assert torch.equal(query, batch.visible[0][batch.predict[0]])


def test_a_page_has_the_objectives_in_words_where_no_script_runs():
    page = WhoSeesWhom("The cat sat down <b>").to_html()
    words = re.search(r"<figcaption>.*?</table>", page, re.S)[0]
    assert words.count("<tr>") == len(OBJECTIVES) + 1
    assert "&lt;b&gt;" in words
    assert "<td>cat sat down &lt;b&gt;</td>" in words  # what a causal model is asked for


def test_the_same_seed_draws_the_same():
    first, second, other = (WhoSeesWhom(" ".join(WORDS), seed=seed) for seed in (1, 1, 2))
    assert first.order == second.order != other.order


@pytest.mark.parametrize("text", ["", "  ", "one"])
def test_fewer_than_two_words_are_refused(text):
    with pytest.raises(ValueError, match=f"text must have two words or more; got '{text}'"):
        WhoSeesWhom(text)


def test_another_objective_is_refused():
    with pytest.raises(ValueError, match="objective must be one of causal, .*; got 'guess'"):
        WhoSeesWhom("a b", objective="guess")


@pytest.mark.parametrize("text", ["a b c", "one more text of very many more words than there were before"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_text_of_another_length_is_drawn_for_again(text, objective):
    view = WhoSeesWhom("the cat sat on the mat today", objective=objective, seed=3)
    view.target = 6
    view.text = text
    again = WhoSeesWhom(text, objective=objective, seed=3)
    assert [mask.tolist() for mask in view.masks()] == [mask.tolist() for mask in again.masks()]
    assert view.target == 0
    assert text.split()[0] in view.to_html()
