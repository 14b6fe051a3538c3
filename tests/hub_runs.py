"""What runs on tiny copies of the hub's datasets share: their tasks, a checkpoint, quick settings, a command line."""

import json

import torch
from hub_copies import SST2_CARD, TOKENIZER, reviews, write

from companion.finetuning.run import Settings, finetune
from companion.finetuning.tasks import PUBLIC_TASKS
from companion.models.bert import Bert, BertConfig

SST2, CONLL = PUBLIC_TASKS["sst2"], PUBLIC_TASKS["conll2003"]
QUICK = Settings(epochs=4, batch_size=8, rate=2e-3, device="cpu")


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


def fine_tuned(folder):
    """A dataset, and a model that was fine-tuned on it: its worth and its folder."""
    data, body = write(folder / "sst2", reviews(), SST2_CARD), write_bert(folder / "bert")
    return data, finetune(SST2, folder / "out", model=body, data=data, settings=QUICK), folder / "out"


def command(program, *words):
    program.main([*map(str, words), "--epochs", "2", "--batch-size", "8", "--limit", "24", "--device", "cpu"])
