"""Measure training, fine-tuning, generation and capture beside peers from PyPI, as ratios of processor time.

Every program does the same work on the same weights or sizes, in one process and on one thread, in turn. A peer that is
not installed is named in the results. Run by hand: ``python benchmarks/speed.py``, or ``make bench`` for this and the
others; ``--rounds 1`` only shows that it runs. Writes ``benchmarks/results/speed.json``.
"""

import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from typing import Any

import torch
import transformers
from interleaved import OURS, MissingPeerError, Work, compared, peer
from report import arguments, write
from torch import Tensor, nn

from companion import zoo
from companion.data import fetched
from companion.data.labelled import Labelled, minibatches
from companion.finetuning.heads import SequenceClassifier
from companion.generation import GREEDY, generate
from companion.losses.causal import causal_loss
from companion.models.bert import Bert, BertConfig
from companion.models.gpt import GPT, GPTConfig
from companion.nn.capture import capture
from companion.nn.machine import GAIN, matrix_rates
from companion.training.flops import measured_flops
from companion.training.optimizers import make_optimizers

BATCH, LENGTH, VOCABULARY = 32, 128, 1024
LAYERS, HEADS, WIDTH = 4, 4, 128
TEXTS, TEXT_BATCH, SHORTEST, LONGEST = 256, 16, 16, 64
NEW_TOKENS = {"storyworld-en": 100, "smollm2-135m": 20}
SIDE = 2048  # of the matrices whose product is the machine's measured peak
KERNELS = "products and attention"


def ids(rows: int, length: int) -> Tensor:
    """Random token ids, the same each time."""
    return torch.randint(VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(0))


# Training


def our_gpt() -> GPT:
    """The GPT that is trained."""
    torch.manual_seed(0)
    return GPT(GPTConfig(VOCABULARY, LENGTH, LAYERS, HEADS, WIDTH))


def stepping(model: nn.Module, loss: Callable[[Tensor], Tensor]) -> Work:
    """One training step: forward, backward, clipping, the optimizer of :func:`companion.training.fit`."""
    optimizers = make_optimizers(model, "adamw", 1e-3, 0.1)
    batch = ids(BATCH, LENGTH + 1)

    def step() -> None:
        torch.autograd.backward(loss(batch))
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()

    return step


def training_ours() -> Work:
    """Ours."""
    model = our_gpt().train()
    return stepping(model, partial(causal_loss, model))


def training_half() -> Work:
    """Ours in bfloat16, where the processor is faster in it."""
    rates = matrix_rates("cpu")
    if rates.get("bfloat16", 0.0) <= GAIN * rates["float32"]:
        raise MissingPeerError("this processor is no faster in bfloat16")
    model = our_gpt().train()

    def loss(batch: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return causal_loss(model, batch)

    return stepping(model, loss)


def training_transformers() -> Work:
    """A GPT-2 of ``transformers``."""
    config = transformers.GPT2Config(
        vocab_size=VOCABULARY, n_positions=LENGTH, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, use_cache=False,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    model = transformers.GPT2LMHeadModel(config).train()
    return stepping(
        model,
        lambda batch: nn.functional.cross_entropy(model(batch[:, :-1]).logits.flatten(0, 1), batch[:, 1:].flatten()),
    )


def training_nanogpt() -> Work:
    """A GPT of ``buildNanoGPT``, nanoGPT as a package."""
    peer("buildNanoGPT")
    peer("tiktoken")  # which it imports
    from buildNanoGPT import model as nano

    config = nano.GPTConfig(LENGTH, VOCABULARY, LAYERS, HEADS, WIDTH)
    model = nano.GPT(False, config).train()
    return stepping(model, lambda batch: model(batch[:, :-1], batch[:, 1:].contiguous())[1])


def training_torch() -> Work:
    """A stack of PyTorch's own encoder layers, pre-LN and causal."""
    layer = nn.TransformerEncoderLayer(
        WIDTH, HEADS, 4 * WIDTH, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    model = nn.ModuleDict(
        {
            "tokens": nn.Embedding(VOCABULARY, WIDTH),
            "positions": nn.Embedding(LENGTH, WIDTH),
            "blocks": nn.TransformerEncoder(layer, LAYERS, norm=nn.LayerNorm(WIDTH), enable_nested_tensor=False),
        }
    )
    mask = nn.Transformer.generate_square_subsequent_mask(LENGTH)

    def loss(batch: Tensor) -> Tensor:
        x = model["tokens"](batch[:, :-1]) + model["positions"].weight
        logits = model["blocks"](x, mask=mask, is_causal=True) @ model["tokens"].weight.T
        return nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())

    return stepping(model.train(), loss)


def training_kernels() -> Work:
    """The matrix products and the attention of a training step, each computed once by torch, and nothing else."""
    tokens, wide = BATCH * LENGTH, 4 * WIDTH
    shapes = LAYERS * (4 * [(WIDTH, WIDTH)] + [(WIDTH, wide), (wide, WIDTH)]) + [(WIDTH, VOCABULARY)]
    products = [(torch.randn(tokens, a), torch.randn(b, a), torch.randn(tokens, b)) for a, b in shapes]
    heads = torch.randn(BATCH, HEADS, LENGTH, WIDTH // HEADS, requires_grad=True)
    gradient = torch.randn_like(heads)

    def kernels() -> None:
        for x, weight, of_output in products:
            nn.functional.linear(x, weight)
            of_output @ weight
            of_output.T @ x
        for _ in range(LAYERS):
            output = nn.functional.scaled_dot_product_attention(heads, heads, heads, is_causal=True)
            torch.autograd.grad(output, heads, gradient)

    return kernels


# Fine-tuning


@cache
def sentences() -> Labelled:
    """Random texts of 16 to 64 tokens, each with one of two labels."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(SHORTEST, LONGEST + 1, (TEXTS,), generator=generator)
    mask = torch.arange(LONGEST) < lengths[:, None]
    inputs = torch.where(mask, ids(TEXTS, LONGEST), 0)
    return Labelled(inputs, torch.zeros_like(inputs), mask, torch.arange(TEXTS) % 2)


def classifier() -> SequenceClassifier:
    """The classifier that is fine-tuned."""
    torch.manual_seed(0)
    return SequenceClassifier(Bert(BertConfig(VOCABULARY, LONGEST, LAYERS, HEADS, WIDTH)), ("no", "yes"))


def finetuning_ours() -> Work:
    """An epoch of ours, in batches of about one length."""
    model = classifier().train()
    optimizers = make_optimizers(model, "adamw", 1e-4, 0.01)
    batches = minibatches(sentences(), TEXT_BATCH)

    def epoch() -> None:
        for _ in range(TEXTS // TEXT_BATCH):
            batch = next(batches)
            logits = model(batch.inputs, batch.token_type_ids, batch.attention_mask)
            torch.autograd.backward(nn.functional.cross_entropy(logits, batch.labels))
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()

    return epoch


def finetuning_trainer() -> Work:
    """An epoch of ``Trainer`` on the same classifier, with its usual collator, which pads a batch to its longest."""
    peer("accelerate")
    with tempfile.TemporaryDirectory() as folder:
        classifier().save_pretrained(folder)
        model = transformers.BertForSequenceClassification.from_pretrained(folder)
    rows = sentences()
    data = [
        {"input_ids": row[real].tolist(), "label": int(label)}
        for row, real, label in zip(rows.inputs, rows.attention_mask, rows.labels, strict=True)
    ]
    scratch = tempfile.mkdtemp()
    told = transformers.TrainingArguments(
        scratch, num_train_epochs=1, per_device_train_batch_size=TEXT_BATCH, save_strategy="no", report_to=[],
        disable_tqdm=True, use_cpu=True, logging_strategy="no",
    )  # fmt: skip
    return transformers.Trainer(model, told, train_dataset=data, data_collator=_padded).train


def _padded(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
    longest = max(len(row["input_ids"]) for row in rows)
    padding = [longest - len(row["input_ids"]) for row in rows]
    return {
        "input_ids": torch.tensor([row["input_ids"] + [0] * more for row, more in zip(rows, padding, strict=True)]),
        "attention_mask": torch.tensor([[1] * (longest - more) + [0] * more for more in padding]),
        "labels": torch.tensor([row["label"] for row in rows]),
    }


# Generation


def generation(name: str, rounds: int) -> dict[str, Any]:
    """Greedy decoding of one text with a cache, the same tokens on both sides."""
    if name in zoo.FETCHED and not fetched.is_complete(name):
        return {"left_out": {name: "not in the cache: python tools/published.py"}}
    model, tokenizer = zoo.load(name)
    prompt = torch.tensor([tokenizer.encode("Once upon a time").ids])
    new = NEW_TOKENS[name]
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def ours() -> Tensor:
        return generate(model, prompt, new, decoding=GREEDY)

    def peers() -> Tensor:
        mask = torch.ones_like(prompt)
        found = theirs.generate(prompt, attention_mask=mask, max_new_tokens=new, do_sample=False, pad_token_id=0)
        assert isinstance(found, Tensor)
        return found

    same = bool(torch.equal(ours(), peers()))
    return compared({OURS: lambda: ours, "transformers": lambda: peers}, rounds) | {"tokens": new, "same_tokens": same}


# Capture


def capturing_ours(record: bool) -> Work:
    """A forward pass of our BERT, with or without all attention weights."""
    torch.manual_seed(0)
    bert = Bert(BertConfig(VOCABULARY, LENGTH, 12, 12, 384)).eval()
    batch = ids(1, LENGTH)

    def read() -> None:
        with torch.no_grad():
            if not record:
                bert(batch)
                return
            with capture(bert):
                bert(batch)

    return read


def capturing_transformers(record: bool) -> Work:
    """A forward pass of the BERT of ``transformers``: its attention weights are given by the eager kernel alone."""
    config = transformers.BertConfig(
        vocab_size=VOCABULARY, hidden_size=384, num_hidden_layers=12, num_attention_heads=12, intermediate_size=1536
    )
    bert = transformers.BertModel(config, add_pooling_layer=False).eval()
    bert.set_attn_implementation("eager" if record else "sdpa")
    batch = ids(1, LENGTH)

    def read() -> None:
        with torch.no_grad():
            bert(batch, output_attentions=record)

    return read


# The machine


def matrix_product() -> Work:
    """A product of two large matrices."""
    left, right = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    return lambda: left @ right


def of_peak(rounds: int) -> dict[str, float]:
    """Fraction of the machine's measured matrix peak that our training step reaches, as torch counts operations.

    And the share of our step that its matrix products and attention take by themselves.
    """
    counted = measured_flops(our_gpt(), ids(BATCH, LENGTH + 1))
    found = compared({OURS: training_ours, "matrix product": matrix_product, KERNELS: training_kernels}, rounds)
    steps, products = (found["seconds"][name]["median"] for name in (OURS, "matrix product"))
    reached, peak = (counted.forward + counted.backward) / steps, 2 * SIDE**3 / products
    return {
        "step_gflops": round(reached / 1e9, 1),
        "peak_gflops": round(peak / 1e9, 1),
        "fraction": round(reached / peak, 3),
        "kernels": found["ratios"][KERNELS]["median"],
    }


def main() -> None:
    """Measure all of it, and write it down."""
    rounds = arguments(__doc__, seeds=0, rounds=5).rounds
    trained = {
        OURS: training_ours,
        f"{OURS}, bfloat16": training_half,
        "transformers": training_transformers,
        "buildNanoGPT": training_nanogpt,
        "torch.nn": training_torch,
    }
    tuned = {OURS: finetuning_ours, "Trainer": finetuning_trainer}
    read = {
        OURS: partial(capturing_ours, True),
        "companion without": partial(capturing_ours, False),
        "transformers": partial(capturing_transformers, True),
        "transformers without": partial(capturing_transformers, False),
    }
    table = {
        "training": compared(trained, rounds),
        "fine-tuning": compared(tuned, rounds),
        **{f"generation, {name}": generation(name, rounds) for name in NEW_TOKENS},
        "capture": compared(read, rounds),
    }
    flags = torch.backends.cpu.get_cpu_capability()
    peers = {"transformers": transformers.__version__}
    with suppress(MissingPeerError):
        peers["buildNanoGPT"] = peer("buildNanoGPT")
    write("speed", {"peers": peers, "cpu": flags, "table": table, "peak": of_peak(rounds)})


if __name__ == "__main__":
    main()
