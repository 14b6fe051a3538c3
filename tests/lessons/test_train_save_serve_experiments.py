"""Sentences are labelled by who gives; requests that are called hostile are refused; a head on vectors is learned."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from companion import zoo
from companion.data.reviews import Review
from companion.data.tokenization import train_wordpiece
from companion.finetuning.heads import SequenceClassifier
from companion.lessons.train_save_serve import experiments as e
from companion.models.bert import Bert, BertConfig
from companion.serving.classifier import load_classifier
from companion.serving.load import load, prediction
from companion.serving.service import Service


def test_who_gives_is_labelled_so():
    for part in e.sentences():
        for text, label in zip(part.texts, part.labels, strict=True):
            subject, verb, *_, asked = text.split()
            assert label == (verb if asked == subject else {"gives": "gets", "gets": "gives"}[verb])


def test_both_labels_come_equally_often():
    for part in e.sentences():
        assert part.labels.count("gives") * 2 == len(part.labels)


def test_each_hostile_request_is_refused_and_each_good_one_answered(tmp_path: Path):
    model, tokenizer = zoo.load("storyworld-bert")
    SequenceClassifier(model.bert, ["gives", "gets"], pooling="cls").save_pretrained(tmp_path)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    good = e.sentences()[2].texts[:7]
    with Service(load_classifier(tmp_path), about={}) as service:
        replies = load(service.address, e.mixed(good, 2 * len(e.HOSTILE)), concurrency=4)
    assert {one.status for one in replies[::2]} == {200}
    assert {name: one.status // 100 for name, one in zip(e.HOSTILE, replies[1::2], strict=True)} == dict.fromkeys(
        e.HOSTILE, 4
    )


def test_a_request_is_shown_as_it_is_sent():
    first, *_, body = e.wire(prediction(["Anna"])).split("\n")
    assert (first, body) == ("POST /predict HTTP/1.1", '{"texts": ["Anna"]}')


def test_a_head_learns_to_part_what_a_line_parts():
    generator = torch.Generator().manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(200, 5, generator=generator), dim=-1)
    labels = (vectors[:, 0] > 0).long()
    head = e.fit_head(e.Features(vectors, labels), strength=1e-4)
    said = (vectors @ head["weight"].T + head["bias"]).argmax(-1)
    assert (said == labels).float().mean() > 0.97


def test_a_penalty_keeps_the_weights_small():
    features = e.Features(torch.eye(4), torch.tensor([0, 1, 0, 1]))
    sizes = [e.fit_head(features, strength)["weight"].norm() for strength in (1e-4, 1e-1)]
    assert sizes[0] > 2 * sizes[1]


@pytest.mark.parametrize("n", [1, 4])
def test_good_and_bad_requests_come_in_turn(n: int):
    requests = e.mixed(["Anna"], n)
    assert len(requests) == n
    assert requests[::2] == [prediction(["Anna"])] * len(requests[::2])


@pytest.fixture
def small_reviews(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reviews in two kinds of words, the positive ones first, and a small encoder in MiniLM's place."""
    words = {1: ["warm", "funny", "bright"], -1: ["dull", "slow", "stale"]}
    texts = [
        (f"a {a} {b} film {n}", sign) for sign in (1, -1) for a in words[sign] for b in words[sign] for n in range(9)
    ]
    torch.manual_seed(0)
    bert = Bert(BertConfig(60, context_length=130, n_layers=1, n_heads=2, d_model=16)).eval()
    monkeypatch.setattr(e, "movie_reviews", lambda: [Review(text, (2 * sign,)) for text, sign in texts])
    monkeypatch.setattr(zoo, "load", lambda _: (bert, train_wordpiece([text for text, _ in texts], 60)))


@pytest.mark.usefixtures("small_reviews")
def test_a_saved_head_answers_as_the_vectors_say(tmp_path: Path):
    learn, judge = e.review_features(train=60, test=20)
    assert 0.2 < learn.labels.double().mean() < 0.8
    head = e.fit_head(learn)
    assert ((judge.vectors @ head["weight"].T + head["bias"]).argmax(-1) == judge.labels).double().mean() > 0.9
    save_file(head, tmp_path / "head.safetensors")
    answer = e.review_answers(tmp_path / "head.safetensors")
    assert [one["label"] for one in answer(["a dull slow film", "a warm funny film"])] == ["negative", "positive"]


@pytest.mark.usefixtures("small_reviews")
def test_a_review_of_too_many_tokens_is_refused(tmp_path: Path):
    save_file(e.fit_head(e.review_features(train=20, test=5)[0]), tmp_path / "head.safetensors")
    with pytest.raises(ValueError, match=r"at most 128 tokens; got \d+"):
        e.review_answers(tmp_path / "head.safetensors")(["dull " * 200])
