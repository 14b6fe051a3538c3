"""What the tests of the service share."""

from pathlib import Path

import pytest
import torch

from companion import zoo
from companion.finetuning.heads import SequenceClassifier


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved classifier, untrained: body of the story BERT, new head."""
    place = tmp_path_factory.mktemp("saved") / "giver"
    torch.manual_seed(0)
    model, tokenizer = zoo.load("storyworld-bert")
    SequenceClassifier(model.bert, ["gives", "gets"], pooling="cls").save_pretrained(place)
    tokenizer.save(str(place / "tokenizer.json"))
    return place
