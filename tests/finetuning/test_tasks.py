"""The splits of a public dataset: what is trained on, what decides when to stop, and what is scored."""

import pytest
import torch
from hub_copies import KINDS, TOKENIZER, own_tokenizer
from hub_runs import CONLL, SST2

from companion.data import hub
from companion.finetuning.tasks import Split, read_splits

pytestmark = pytest.mark.usefixtures("offline")


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
