"""A checkpoint and a dataset in the hub's layout, tiny copies of the real ones, go the whole way without a network."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import datasets
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, List, Value
from huggingface_hub import constants

from companion.checkpoints import CheckpointError
from companion.data import hub
from companion.data.batch import IGNORED
from companion.data.tokenization import train_wordpiece
from companion.distillation import __main__ as distillation
from companion.distillation.run import METHODS, distil
from companion.finetuning import __main__ as finetuning
from companion.finetuning import run as runs
from companion.finetuning.heads import SequenceClassifier, TokenClassifier, predict
from companion.finetuning.run import Settings, finetune
from companion.finetuning.tasks import PUBLIC_TASKS, Split, read_splits
from companion.models.bert import Bert, BertConfig
from companion.training import fit

SST2, CONLL = PUBLIC_TASKS["sst2"], PUBLIC_TASKS["conll2003"]
FEELINGS = ("negative", "positive")
KINDS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
SUBJECTS = [f"{which} {what}" for which in ("the", "her", "an old", "this long") for what in ("film", "play", "song")]
VERDICTS = {"negative": ("bores", "fails", "is a mess"), "positive": ("delights", "shines", "is a joy")}
NAMED = {"Anna": "PER", "Anna Smith": "PER", "Ben": "PER", "Paris": "LOC", "New York": "LOC", "Oslo": "LOC"}
PLAIN = ("met", "left", "saw", "near")
QUICK = Settings(epochs=4, batch_size=8, rate=2e-3, device="cpu")


@pytest.fixture(autouse=True, scope="module")
def offline(tmp_path_factory):
    """No test asks the network, and the cache is empty at first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        patch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def reviews():
    """Columns as in SST-2; no text of one split is in another."""
    told = [(f"{who} {what}", feeling) for feeling, ways in VERDICTS.items() for what in ways for who in SUBJECTS]
    openings = {"train": ("well ,", "so", "and", "yes"), "validation": ("but",), "test": ("no ,",)}
    columns = {}
    for split, own in openings.items():
        texts = [(f"{opening} {text}", FEELINGS.index(feeling)) for opening in own for text, feeling in told]
        columns[split] = {
            "idx": list(range(len(texts))),
            "sentence": [text for text, _ in texts],
            "label": [-1 if split == "test" else label for _, label in texts],
        }
    return columns


def news():
    """Columns as in CoNLL-2003."""
    names = list(NAMED)
    sentences = [(one, verb, other) for one in names for verb in PLAIN for other in names if one != other]
    words, tags = [], []
    for one, verb, other in sentences:
        words.append([*one.split(), verb, *other.split(), "."])
        marks = [mark for name in (one, other) for mark in (marked(name), ["O"])]
        tags.append([KINDS.index(tag) for part in marks for tag in part])
    parts = {"train": slice(0, None, 2), "validation": slice(1, None, 4), "test": slice(3, None, 4)}
    return {split: {"tokens": words[part], "ner_tags": tags[part]} for split, part in parts.items()}


def marked(name):
    return [f"{'I' if i else 'B'}-{NAMED[name]}" for i in range(len(name.split()))]


def readme(columns):
    """The card of a dataset on the hub, as its front matter tells labels and splits."""
    lines = ["---", "dataset_info:", "  features:"]
    for name, (kind, names) in columns.items():
        lines.append(f"  - name: {name}")
        if names is None:
            lines.append(f"    {kind}: string" if kind == "list" else f"    dtype: {kind}")
            continue
        lines += ["    list:", "      class_label:"] if kind == "list" else ["    dtype:", "      class_label:"]
        depth = " " * 8
        lines += [f"{depth}names:", *(f"{depth}  '{number}': {label}" for number, label in enumerate(names))]
    configs = ["configs:", "- config_name: default", "  data_files:"]
    for split in ("train", "validation", "test"):
        configs += [f"  - split: {split}", f"    path: data/{split}-*"]
    return "\n".join([*lines, *configs, "---", "# A tiny copy", ""])


def write(folder, parts, card):
    """Parquet files that do not know the names of their labels, and a card that does."""
    (folder / "data").mkdir(parents=True)
    for split, columns in parts.items():
        rows = Dataset.from_dict(columns)
        rows.to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")
    (folder / "README.md").write_text(card)
    return folder


SST2_CARD = readme({"idx": ("int32", None), "sentence": ("string", None), "label": ("label", FEELINGS)})
CONLL_CARD = readme({"tokens": ("list", None), "ner_tags": ("list", KINDS)})


@pytest.fixture
def sst2(tmp_path):
    return write(tmp_path / "sst2", reviews(), SST2_CARD)


@pytest.fixture
def conll(tmp_path):
    return write(tmp_path / "conll2003", news(), CONLL_CARD)


def texts_of_all():
    own = [text for part in reviews().values() for text in part["sentence"]]
    return own + [" ".join(words) for part in news().values() for words in part["tokens"]]


TOKENIZER = train_wordpiece(texts_of_all(), 120, lowercase=False)


def write_bert(folder):
    """A random BERT with its tokenizer.json, as on the hub."""
    torch.manual_seed(0)
    body = Bert(BertConfig(TOKENIZER.get_vocab_size(), context_length=16, n_layers=4, n_heads=2, d_model=24))
    with torch.no_grad():
        for matrix in (p for p in body.parameters() if p.dim() > 1):
            matrix.mul_(4)  # so narrow a model would be slow to start from the usual N(0, 0.02)
    body.save_pretrained(folder)
    TOKENIZER.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False, "model_max_length": 16}))
    return folder


@pytest.fixture
def bert(tmp_path):
    return write_bert(tmp_path / "bert-tiny")


@pytest.fixture(scope="module")
def school(tmp_path_factory, offline):
    """A dataset, and a model that was fine-tuned on it: its worth and its folder."""
    folder = tmp_path_factory.mktemp("school")
    data, body = write(folder / "sst2", reviews(), SST2_CARD), write_bert(folder / "bert")
    return data, finetune(SST2, folder / "out", model=body, data=data, settings=QUICK), folder / "out"


def own_tokenizer():
    return type(TOKENIZER).from_str(TOKENIZER.to_str())


# What is read


def test_texts_come_with_the_names_of_their_labels(sst2):
    texts = hub.labelled_texts(sst2)
    assert texts.names == FEELINGS
    assert texts.texts[0] == "well , the film bores"
    assert (texts.labels[0], texts.labels[-1]) == FEELINGS


def test_sentences_come_as_words_with_the_names_of_their_tags(conll):
    sentences = hub.tagged_sentences(conll, "test")
    assert sentences.names == KINDS
    assert sentences.texts[0] == ["Anna", "met", "New", "York", "."]
    assert sentences.labels[0] == ["B-PER", "O", "B-LOC", "I-LOC", "O"]


def test_parquet_files_may_know_the_names_themselves(tmp_path):
    """As the hub's own copies under refs/convert/parquet do, which have no card."""
    (tmp_path / "set" / "default" / "train").mkdir(parents=True)
    features = Features({"tokens": List(Value("string")), "ner_tags": List(ClassLabel(names=list(KINDS)))})
    rows = Dataset.from_dict({"tokens": [["Anna", "left"]], "ner_tags": [[1, 0]]}, features=features)
    rows.to_parquet(tmp_path / "set" / "default" / "train" / "0000.parquet")
    assert hub.tagged_sentences(tmp_path / "set").labels == [["B-PER", "O"]]


def test_a_row_without_text_is_left_out(tmp_path):
    parts = {"train": {"idx": [0, 1, 2, 3], "sentence": ["good", " ", None, "bad"], "label": [1, -1, 0, 0]}}
    texts = hub.labelled_texts(write(tmp_path / "set", parts, SST2_CARD.split("configs:")[0] + "---\n"))
    assert texts[:2] == (["good", "bad"], ["positive", "negative"])


def test_a_sentence_without_words_is_left_out(tmp_path):
    parts = {"train": {"tokens": [["Anna"], [], ["left"]], "ner_tags": [[1], [], [0]]}}
    sentences = hub.tagged_sentences(write(tmp_path / "set", parts, CONLL_CARD.split("configs:")[0] + "---\n"))
    assert sentences[:2] == ([["Anna"], ["left"]], [["B-PER"], ["O"]])


def test_a_folder_is_read_as_it_is_and_not_as_another_of_its_name_was(tmp_path):
    folders = [write(tmp_path / number / "set", reviews(), SST2_CARD) for number in "ab"]
    train = [folder / "data" / "train-00000-of-00001.parquet" for folder in folders]
    shutil.copyfile(folders[1] / "data" / "validation-00000-of-00001.parquet", train[1])
    assert [hub.labelled_texts(folder).texts[0] for folder in folders] == [
        "well , the film bores",
        "but the film bores",
    ]
    shutil.copyfile(train[1], train[0])
    assert hub.labelled_texts(folders[0]).texts[0] == "but the film bores"


# What becomes of it


def test_texts_are_cut_by_the_checkpoints_tokenizer(sst2):
    texts = hub.labelled_texts(sst2)
    rows = texts.rows(hub.encode(own_tokenizer(), texts.texts, 16))
    assert [TOKENIZER.decode(row.tolist()) for row in rows.inputs[-2:]] == texts.texts[-2:]
    assert rows.labels.tolist() == [FEELINGS.index(label) for label in texts.labels]


def test_a_words_tag_stands_at_its_first_piece():
    sentence = hub.Sentences([["Anna", "nearmet", "Oslo"]], [["B-PER", "O", "B-LOC"]], KINDS)
    encodings = hub.encode(own_tokenizer(), sentence.texts, 16)
    places = [encodings[0].word_ids.index(word) for word in range(3)]
    labels = sentence.rows(encodings).labels[0]
    assert encodings[0].word_ids.count(1) > 1
    assert labels[places].tolist() == [1, 0, 3]
    assert labels.tolist().count(IGNORED) == len(labels) - 3


@pytest.mark.parametrize("texts", [["Anna met Ben near Paris"], [["Anna", "met", "Ben", "near", "Paris"]]])
def test_a_text_that_is_too_long_loses_its_end_and_keeps_its_frame(texts):
    tokens = hub.encode(own_tokenizer(), texts, 4)[0].tokens
    assert tokens == ["[CLS]", *hub.encode(own_tokenizer(), texts, 16)[0].tokens[1:3], "[SEP]"]


def test_words_that_were_cut_off_lose_their_tags():
    sentence = hub.Sentences([["Anna", "met", "Ben"]], [["B-PER", "O", "B-PER"]], KINDS)
    rows = sentence.rows(hub.encode(own_tokenizer(), sentence.texts, 4))
    assert rows.labels.ne(IGNORED).sum() < 3


def test_the_tokenizers_own_limits_are_replaced():
    tokenizer = own_tokenizer()
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=40)
    assert hub.encode(tokenizer, ["the film bores"], 16)[0].ids == TOKENIZER.encode("the film bores").ids


@pytest.mark.parametrize("nothing", ["\x96", "\u200b", " "])
def test_a_word_of_which_nothing_is_left_keeps_its_tag(nothing):
    sentence = hub.Sentences([["Anna", nothing, "Oslo", nothing]], [["B-PER", "O", "B-LOC", "O"]], KINDS)
    rows = sentence.rows(hub.encode(own_tokenizer(), sentence.texts, 16))
    assert rows.labels[rows.labels != IGNORED].tolist() == [1, 0, 3, 0]


def test_an_entity_that_did_not_fit_counts_as_not_found():
    sentence = hub.Sentences([["Anna", "met", "Ben"]], [["B-PER", "O", "B-PER"]], KINDS)
    encodings = hub.encode(own_tokenizer(), sentence.texts, 1 + len(TOKENIZER.encode("Anna").tokens))
    part = Split(sentence.rows(encodings), encodings, sentence.labels, KINDS)
    logits = torch.nn.functional.one_hot(part.rows.labels.clamp(min=0), len(KINDS)).float()
    assert part.report(logits).labels["PER"].recall <= 0.5


def test_what_decides_when_to_stop_is_neither_trained_on_nor_held_out(sst2, conll):
    for task, data in ((SST2, sst2), (CONLL, conll)):
        parts = read_splits(task, own_tokenizer(), 16, data)
        seen = [{tuple(encoding.ids) for encoding in part.encodings} for part in parts]
        assert all(seen)
        assert not (seen[0] | seen[1]) & seen[2]
        assert not seen[0] & seen[1]


def test_a_trial_reads_a_few_texts_of_each_split(conll):
    parts = read_splits(CONLL, own_tokenizer(), 16, conll, limit=5)
    assert [len(part.encodings) for part in parts] == [5, 5, 5]


# The whole way


def command(program, *words):
    program.main([*map(str, words), "--epochs", "2", "--batch-size", "8", "--limit", "24", "--device", "cpu"])


@pytest.mark.parametrize("name", PUBLIC_TASKS)
def test_a_checkpoint_is_tuned_distilled_and_kept(name, bert, sst2, conll, tmp_path, capsys):
    data, kind = (sst2, SequenceClassifier) if name == "sst2" else (conll, TokenClassifier)
    command(finetuning, "--task", name, "--data", data, "--model", bert, "--out", tmp_path / "teacher")
    told = capsys.readouterr().out
    assert PUBLIC_TASKS[name].score in told
    assert "fine-tuned       4" in told
    command(
        distillation, "--task", name, "--data", data, "--model", tmp_path / "teacher", "--out", tmp_path / "student"
    )
    told = capsys.readouterr().out
    assert "teacher          4" in told
    assert "student          2" in told
    teacher, student = (kind.from_pretrained(tmp_path / one) for one in ("teacher", "student"))
    assert teacher.labels == student.labels == (FEELINGS if name == "sst2" else KINDS)
    assert (teacher.config.n_layers, student.config.n_layers) == (4, 2)


@pytest.fixture
def tuned(bert, tmp_path):
    """A function that fine-tunes, quickly, and says where the model is kept."""

    def run(task, data, out="out", **options):
        held = finetune(task, tmp_path / out, model=bert, data=data, **{"settings": QUICK} | options)
        return held, tmp_path / out

    return run


def test_a_tuned_classifier_knows_held_out_texts(school):
    _, held, _ = school
    assert held.report.micro.f1 > 0.8
    assert held.parameters == sum(p.numel() for p in held.model.parameters())


def test_a_tuned_tagger_knows_held_out_sentences(tuned, conll):
    held, _ = tuned(CONLL, conll)
    assert held.report.micro.f1 > 0.8
    assert held.model.bert.pooler is None


def test_transformers_loads_what_was_kept_and_says_the_same_of_texts(school):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    _, held, out = school
    theirs = AutoModelForSequenceClassification.from_pretrained(out)
    tokens = AutoTokenizer.from_pretrained(out)("her song is a mess", return_tensors="pt")
    rows = hub.Texts(["her song is a mess"], ["negative"], FEELINGS)
    rows = rows.rows(hub.encode(own_tokenizer(), rows.texts, 16))
    assert torch.equal(tokens["input_ids"], rows.inputs)
    assert theirs.config.id2label == dict(enumerate(FEELINGS))
    assert torch.allclose(theirs(**tokens).logits, predict(held.model, rows), atol=1e-5)


def test_transformers_loads_what_was_kept_and_says_the_same_of_words(tuned, conll):
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    held, out = tuned(CONLL, conll, limit=8)
    theirs = AutoModelForTokenClassification.from_pretrained(out)
    words = ["Anna", "nearmet", "New", "York"]
    tokens = AutoTokenizer.from_pretrained(out)(words, is_split_into_words=True, return_tensors="pt")
    rows = hub.Sentences([words], [["O"] * 4], KINDS)
    rows = rows.rows(hub.encode(own_tokenizer(), rows.texts, 16))
    assert torch.equal(tokens["input_ids"], rows.inputs)
    assert theirs.config.id2label == dict(enumerate(KINDS))
    assert torch.allclose(theirs(**tokens).logits, predict(held.model, rows), atol=1e-5)


def test_the_tokenizer_is_kept_as_it_was(tuned, bert, sst2):
    _, out = tuned(SST2, sst2, limit=8)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (out / name).read_bytes() == (bert / name).read_bytes()


@pytest.mark.parametrize("method", METHODS)
def test_each_method_teaches_a_student_of_any_depth(school, method, tmp_path):
    data, teacher, folder = school
    before = [p.clone() for p in teacher.model.parameters()]
    options = {"model": folder, "method": method, "layers": 3, "data": data, "settings": replace(QUICK, epochs=1)}
    again, student = distil(SST2, tmp_path / "student", **options)
    assert student.model.config.n_layers == 3
    assert student.report.micro.f1 > 0.8
    assert student.parameters < again.parameters
    assert all(torch.equal(p, q) for p, q in zip(before, again.model.parameters(), strict=True))


def test_a_run_that_was_cut_off_goes_on_to_the_same_weights(tuned, sst2, monkeypatch):
    whole, _ = tuned(SST2, sst2, "whole", limit=16)
    monkeypatch.setattr(runs, "fit", lambda *rest, **options: fit(*rest, **options, checkpoint_every=1, on_step=stop))
    with pytest.raises(KeyboardInterrupt):
        tuned(SST2, sst2, limit=16)
    monkeypatch.undo()
    resumed, _ = tuned(SST2, sst2, limit=16)
    pairs = zip(whole.model.parameters(), resumed.model.parameters(), strict=True)
    assert all(torch.equal(p, q) for p, q in pairs)


def stop(step, history):
    if step == 5:
        raise KeyboardInterrupt


def test_a_run_with_other_settings_is_not_gone_on_with(tuned, bert, sst2):
    _, out = tuned(SST2, sst2, limit=24)
    with pytest.raises(SystemExit, match="^error: .* holds a run with epochs 4, not 2"):
        command(finetuning, "--task", "sst2", "--data", sst2, "--model", bert, "--out", out)


@pytest.mark.slow
def test_the_package_runs_as_a_program(bert, sst2, tmp_path):
    words = ["finetune", "--task", "sst2", "--data", sst2, "--model", bert, "--out", tmp_path / "out", "--epochs", "1"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(tmp_path / "cache")}
    program = [sys.executable, "-m", "companion.finetuning", *map(str, words)]
    done = subprocess.run(program, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "accuracy" in done.stdout


# What is refused


def test_a_model_that_the_hub_cannot_give_is_told_so(tmp_path):
    with pytest.raises(CheckpointError, match="there is no folder 'google-bert/bert-base-uncased', and the hub"):
        finetune(SST2, tmp_path / "out")


@pytest.mark.parametrize("name", PUBLIC_TASKS)
def test_a_dataset_that_the_hub_cannot_give_is_told_so(name, bert, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"dataset '{PUBLIC_TASKS[name].data}' cannot be loaded"):
        finetune(PUBLIC_TASKS[name], tmp_path / "out", model=bert)


def test_without_the_library_it_says_what_to_install(bert, sst2, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'large-language-models-live\[hub\]'"):
        finetune(SST2, tmp_path / "out", model=bert, data=sst2)


def test_a_checkpoint_without_a_tokenizer_is_refused(bert, sst2, tmp_path):
    (bert / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match="bert-tiny has no tokenizer.json"):
        finetune(SST2, tmp_path / "out", model=bert, data=sst2)


@pytest.mark.parametrize(
    ("read", "options", "message"),
    [
        (hub.labelled_texts, {"text": "text"}, "has no column 'text'; choose from idx, sentence, label"),
        (hub.labelled_texts, {"label": "target"}, "has no column 'target'; choose from idx, sentence, label"),
        (hub.labelled_texts, {"text": "idx"}, "column 'idx' holds int32, not text"),
        (hub.labelled_texts, {"label": "idx"}, "column 'idx' holds int32, not ClassLabel; name its labels"),
        (hub.labelled_texts, {"split": "test"}, "row 0 of split 'test' has the label -1; .* -1 means: not given"),
        (hub.labelled_texts, {"split": "dev"}, 'Unknown split "dev"'),
        (hub.tagged_sentences, {"tags": "tags"}, "has no column 'tokens'; choose from idx, sentence, label"),
        (
            hub.tagged_sentences,
            {"words": "sentence", "tags": "label"},
            "column 'sentence' holds string, not lists of words",
        ),
    ],
    ids=lambda value: value.__name__ if callable(value) else str(value),
)
def test_a_dataset_that_does_not_fit_is_told_with_what_there_is(sst2, read, options, message):
    with pytest.raises(ValueError, match=message):
        read(sst2, **options)


@pytest.mark.parametrize(
    ("column", "held"), [("words", "string"), ("tokens", "lists of string"), ("numbers", "lists of int64")]
)
def test_tags_without_names_are_refused(tmp_path, column, held):
    columns = {"words": ["a"], "tokens": [["a"]], "numbers": [[0]]}
    folder = write(tmp_path / "set", {"train": columns}, "")
    message = f"column '{column}' holds {held}, not lists of ClassLabel; name its labels under dataset_info in README"
    with pytest.raises(ValueError, match=message):
        hub.tagged_sentences(folder, tags=column)


def test_another_number_of_tags_than_of_words_is_refused(tmp_path):
    parts = news()
    parts["train"]["ner_tags"][3] = [0, 0]
    with pytest.raises(ValueError, match="row 3 of split 'train' has 4 tokens and 2 ner_tags; each word must have"):
        hub.tagged_sentences(write(tmp_path / "set", parts, CONLL_CARD))


def test_a_tag_that_is_not_given_is_refused(tmp_path):
    parts = news()
    parts["train"]["ner_tags"][3][1] = -1
    with pytest.raises(ValueError, match="row 3 of split 'train' has the label -1; a label is 0 to 4"):
        hub.tagged_sentences(write(tmp_path / "set", parts, CONLL_CARD))


def test_a_split_without_text_is_refused(tmp_path):
    parts = reviews()
    parts["train"]["sentence"] = [" "] * len(parts["train"]["label"])
    with pytest.raises(ValueError, match="split 'train' has no text in any row"):
        hub.labelled_texts(write(tmp_path / "set", parts, SST2_CARD))


def test_a_context_without_room_is_refused():
    with pytest.raises(ValueError, match="context_length must leave room for a piece of text; got 2"):
        hub.encode(own_tokenizer(), ["the film bores"], 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "magic"}, "method must be one of hinton, distilbert, pkd, tinybert; got 'magic'"),
        ({"layers": 5}, "a student has 1 layer to as many as its teacher, 4; got 5"),
        ({"layers": 1}, "the student must have 2 layers or more"),
        ({"limit": 0}, "limit must be at least 1"),
    ],
    ids=str,
)
def test_a_student_that_cannot_be_is_refused(teacher, sst2, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        distil(SST2, tmp_path / "out", **{"model": teacher, "data": sst2, "settings": QUICK} | options)


@pytest.fixture
def teacher(bert, tmp_path):
    """A classifier that nobody trained."""
    SequenceClassifier(Bert.from_pretrained(bert), FEELINGS).save_pretrained(tmp_path / "teacher")
    shutil.copyfile(bert / "tokenizer.json", tmp_path / "teacher" / "tokenizer.json")
    return tmp_path / "teacher"


def test_a_teacher_of_other_labels_is_refused(bert, sst2, tmp_path):
    SequenceClassifier(Bert.from_pretrained(bert), ("bad", "good")).save_pretrained(tmp_path / "teacher")
    shutil.copyfile(bert / "tokenizer.json", tmp_path / "teacher" / "tokenizer.json")
    with pytest.raises(ValueError, match=r"the labels \('negative', 'positive'\), in order; got \('bad', 'good'\)"):
        distil(SST2, tmp_path / "out", model=tmp_path / "teacher", data=sst2)


def test_a_body_without_a_head_is_no_teacher(bert, sst2, tmp_path):
    with pytest.raises(CheckpointError, match="holds a BertModel; this class loads a BertForSequenceClassification"):
        distil(SST2, tmp_path / "out", model=bert, data=sst2)


def test_a_model_is_not_written_over(teacher, sst2):
    with pytest.raises(ValueError, match="out must be another folder than the model's"):
        distil(SST2, teacher, model=teacher, data=sst2)


@pytest.mark.parametrize("name", ["epochs", "batch_size"])
def test_a_run_without_a_step_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1; got 0"):
        Settings(**{name: 0})
