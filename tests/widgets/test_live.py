"""What a live widget is answered by its model, in the kernel and in the page."""

import hashlib
import itertools
import json

import onnx
import pytest
import torch
from node import run_node
from page_models import export_model, write_labels
from texts_to_cut import HARD
from tokenizers import Tokenizer

from companion import zoo
from companion.checkpoints.gguf import gguf_tokenizer
from companion.checkpoints.gguf_file import GGUF
from companion.data import prose
from companion.data.fetched import NotFetchedError
from companion.data.tokenization import load_tokenizer, token_labels, train_byte_bpe
from companion.storyworld import World
from companion.widgets.live import CANDIDATES, MASKS, Tracer, candidates


@pytest.fixture(scope="module")
def tracer() -> Tracer:
    return Tracer(*zoo.load("storyworld-en"))


def test_an_answer_has_a_label_a_weight_and_candidates_for_each_token(tracer: Tracer):
    answer = tracer("Tom is in the garden .")
    n = len(answer.tokens)
    assert answer.attention.shape[2:] == (n, n)
    assert answer.attention.sum(-1) == pytest.approx(1, abs=1e-5)
    probabilities = [one["probability"] for one in answer.next_tokens]
    assert len(probabilities) == CANDIDATES
    assert probabilities == sorted(probabilities, reverse=True)
    assert answer.mask == ""
    assert answer.device == "kernel · CPU"


def test_a_model_that_reads_both_ways_fills_in_its_last_mask():
    tracer = Tracer(*zoo.load("storyworld-bert"))
    assert tracer("Tom is in the garden .").next_tokens == []
    answer = tracer(f"Tom is in the {MASKS[0]} .")
    assert answer.mask == MASKS[0]
    assert len(answer.next_tokens) == CANDIDATES


def test_a_text_with_more_tokens_than_the_model_reads_is_refused(tracer: Tracer):
    with pytest.raises(ValueError, match="the text has 50[01] tokens; the model reads at most"):
        tracer("Tom " * 500)


def test_asking_leaves_the_model_in_its_mode(tracer: Tracer):
    tracer.model.train()
    first, second = (tracer("Tom is in the garden .").attention for _ in range(2))
    assert tracer.model.training
    torch.testing.assert_close(torch.tensor(first), torch.tensor(second))
    tracer.model.eval()


# The page's answers


BYTES = "byte-level BPE"  # one that is trained here, of no model


def texts_for(name: str) -> list[str]:
    """What the model of that name was made to read, and what is hard to cut."""
    if name in (BYTES, "smollm2-135m"):
        return [*(line for text in prose.documents(["primer"]) for line in text.splitlines()), *HARD]
    stories = World(language="zh" if name.endswith("zh") else "en").stories(40)
    told = [f"{story.text} [SEP] {MASKS[0]} ." if "bert" in name else story.text for story in stories]
    return [*told, *HARD]


def questions_for(name: str, tokenizer: Tokenizer) -> list[dict]:
    """Tokens among the likeliest, each of a small vocabulary: after many others or, for a BERT, behind a mask."""
    size = tokenizer.get_vocab_size()
    step = CANDIDATES if size < 10_000 else size // 100
    fives = [[(start + k) % size for k in range(CANDIDATES)] for start in range(0, size, step)]
    lasts = [None] if "bert" in name else range(0, size, max(1, size // 50))
    pairs = itertools.product(fives, lasts) if size < 1000 else zip(fives, itertools.cycle(lasts), strict=False)
    return [
        {"scores": [(number, 9.0 - k) for k, number in enumerate(five)], **({} if last is None else {"last": last})}
        for five, last in pairs
    ]


def tokenizer_of(name: str) -> Tokenizer:
    if name == BYTES:
        return train_byte_bpe(prose.documents(["primer"]), 3072)
    if name in zoo.names():
        return load_tokenizer(zoo.folder(name))
    try:
        return gguf_tokenizer(GGUF(zoo.folder(name) / zoo.GGUF_NAME))
    except NotFetchedError as error:
        pytest.skip(f"left out, because it cannot be had: {error}")


@pytest.mark.parametrize("name", [*zoo.names(), BYTES, pytest.param("smollm2-135m", marks=pytest.mark.slow)])
def test_the_page_names_encodes_and_answers_as_python_does(name, root, tmp_path):
    tokenizer = tokenizer_of(name)
    size = tokenizer.get_vocab_size()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    write_labels(tmp_path)
    labels = json.loads((tmp_path / "labels.json").read_text(encoding="utf-8"))
    assert labels == token_labels(tokenizer, range(size))
    texts, questions = texts_for(name), questions_for(name, tokenizer)
    asked = {"file": json.loads(tokenizer.to_str()), "labels": labels, "texts": texts, "questions": questions}
    (tmp_path / "asked.json").write_text(json.dumps(asked), encoding="utf-8")
    answer = json.loads(run_node(root / "tests" / "widgets" / "frontend" / "page_answers.js", tmp_path / "asked.json"))
    ids = [tokenizer.encode(text).ids for text in texts]
    assert sum(map(len, ids)) >= 1000
    assert answer["ids"] == ids
    for question, page in zip(questions, answer["answers"], strict=True):
        logits = torch.zeros(size)
        for number, score in question["scores"]:
            logits[number] = score
        kernel = candidates(tokenizer, logits, question.get("last"))
        assert [(one["token"], one["text"]) for one in page] == [(one["token"], one["text"]) for one in kernel]
        # the kernel adds up a whole vocabulary in 32 bits
        assert [one["probability"] for one in page] == pytest.approx([one["probability"] for one in kernel], rel=1e-4)


def test_a_tokenizer_that_pads_and_cuts_shows_the_text_and_no_padding():
    model, tokenizer = zoo.load("storyworld-en")
    plain = Tracer(model, tokenizer)("Tom is in the park .").tokens
    tokenizer.enable_padding(length=32)
    tokenizer.enable_truncation(max_length=4)
    assert Tracer(model, tokenizer)("Tom is in the park .").tokens == plain
    assert tokenizer.padding is not None  # the reader's own is as it was


def test_a_fast_tokenizer_of_transformers_is_read_as_the_one_inside():
    from transformers import PreTrainedTokenizerFast

    model, tokenizer = zoo.load("storyworld-en")
    around = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    assert Tracer(model, around)("Anna is here .").tokens == Tracer(model, tokenizer)("Anna is here .").tokens


@pytest.mark.slow
def test_a_large_model_lies_in_files_of_a_limited_size_each_named_after_its_content(tmp_path):
    limit = 100_000
    export_model("storyworld-bert-small", tmp_path, MASKS[0], limit)
    files = json.loads((tmp_path / "limits.json").read_text(encoding="utf-8"))["files"]
    parts = [(tmp_path / file).read_bytes() for file in files]
    assert len(parts) > 2
    assert max(map(len, parts)) <= limit
    assert [hashlib.sha256(part).hexdigest()[:16] for part in parts] == [file.removesuffix(".onnx") for file in files]
    onnx.checker.check_model(onnx.load_from_string(b"".join(parts)))
    assert sorted(path.name for path in tmp_path.glob("*.onnx")) == sorted(files)
