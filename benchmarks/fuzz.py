"""Damaged and hostile input: is each refused by a message of this package, soon, and in little memory?

``python benchmarks/fuzz.py`` feeds 100,000 inputs to what reads files and texts from elsewhere: checkpoints (their
configurations and weights), GGUF files, tokenizers, files of runs and of adapters, texts, attention for the widget, and
decoding. Most are sound inputs with some bytes or values changed. It writes ``results/fuzz.json``: how many of each
kind were refused or accepted, and every one that crashed, took more than ten seconds, or raised an error of another
library.
"""

import json
import math
import random
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import report
import torch

from companion.checkpoints import CheckpointError
from companion.checkpoints.gguf import gguf_tokenizer, load_gguf
from companion.checkpoints.gguf_file import GGUF
from companion.data import hub
from companion.data.chat import render_chat
from companion.data.tokenization import (
    load_tokenizer,
    token_labels,
    train_byte_bpe,
    train_unigram,
    train_wordpiece,
)
from companion.finetuning.lora import add_lora, load_adapters, save_adapters
from companion.generation import BeamSearch, Sampling, generate
from companion.models.bert import Bert, BertConfig
from companion.models.gpt import GPT, GPTConfig
from companion.models.modern_decoder import ModernConfig, ModernDecoder
from companion.models.t5 import T5, T5Config
from companion.models.xlnet import XLNet, XLNetConfig
from companion.training import Checkpoint, Runtime, fit
from companion.widgets import AttentionView

PACKAGE = str(Path(sys.modules["companion"].__file__ or "").parent)
CLEAR = (ValueError, TypeError, OSError, FloatingPointError)  # CheckpointError is a ValueError
LONGEST = 10  # seconds
MEMORY = 4 * 2**30  # bytes that this process may have
SIZES: dict[str, Any] = {"vocab_size": 11, "n_layers": 1, "n_heads": 2, "d_model": 8}
MODELS: dict[Any, Any] = {
    GPT: GPTConfig(**SIZES, context_length=12),
    Bert: BertConfig(**SIZES, context_length=12),
    ModernDecoder: ModernConfig(**SIZES, context_length=12),
    T5: T5Config(**SIZES),
    XLNet: XLNetConfig(**SIZES),
}
NUMBERS = [0, -1, 1, 2.5, 7, 2**31, 10**30, 1e308, math.nan, math.inf]
VALUES: list[Any] = [None, True, False, *NUMBERS, "", "x", "false", "1e-5", [], [1], {}]
CHARACTERS = "ab \n\t\0\x1b▁Ġ#é你\u0301\u200b\u202e\ufe0f\ud83d\udc00😀<|endoftext|>[SEP]</s>"
Feeder = Callable[[random.Random, Path], object]


def changed_bytes(content: bytes, draw: random.Random) -> bytes:
    """Content with some bytes changed, cut out, put in, or with its end cut off."""
    held = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 8))):
        place = draw.randrange(len(held) + 1)
        if draw.random() < 0.7:  # most of what is told stands at the beginning
            place = min(place, draw.randrange(400))
        match draw.randrange(5):
            case 0:
                held[place : place + 1] = bytes([draw.randrange(256)])
            case 1:
                del held[place : place + draw.randrange(1, 9)]
            case 2:
                held[place:place] = draw.randbytes(draw.randrange(1, 9))
            case 3:
                del held[place:]
            case 4:
                held[place : place + 8] = draw.choice((0, 1, 2**31, 2**63, 2**64 - 1)).to_bytes(8, "little")
    return bytes(held)


def changed_json(content: Any, draw: random.Random) -> Any:
    """JSON in which a value, anywhere, is another one, is missing, or is nested deeply."""
    if isinstance(content, dict) and content and draw.random() < 0.9:
        key = draw.choice(list(content))
        if draw.random() < 0.15:
            return {name: value for name, value in content.items() if name != key}
        return content | {key: changed_json(content[key], draw)}
    if isinstance(content, list) and content and draw.random() < 0.7:
        place = draw.randrange(len(content))
        return [*content[:place], changed_json(content[place], draw), *content[place + 1 :]]
    if draw.random() < 0.02:
        deep: Any = 0
        for _ in range(200):
            deep = [deep]
        return deep
    return draw.choice(VALUES)


def text(draw: random.Random, longest: int = 12) -> str:
    """A text of characters that make trouble."""
    return "".join(draw.choice(CHARACTERS) for _ in range(draw.randrange(longest)))


def junk(draw: random.Random) -> Any:
    """A value that a learner may give by mistake."""
    made = (
        lambda: draw.choice(VALUES),
        lambda: text(draw),
        lambda: torch.randn(draw.randrange(3), draw.randrange(3)),
        lambda: torch.randint(-2, 13, (1, draw.randrange(1, 5))),
    )
    return draw.choice(made)()


class Feeders:
    """What is fed, with the sound inputs that are changed, made once in a folder."""

    def __init__(self, folder: Path) -> None:
        """Make the sound inputs."""
        self.sound: dict[Any, tuple[Any, bytes]] = {}
        self.models: dict[Any, Any] = {}
        for kind, config in MODELS.items():
            torch.manual_seed(0)
            self.models[kind] = kind(config).eval()
            self.models[kind].save_pretrained(folder / kind.__name__)
            files = {path.name: path.read_bytes() for path in (folder / kind.__name__).iterdir()}
            self.sound[kind] = (json.loads(files["config.json"]), files["model.safetensors"])
        self.gpt = self.models[GPT]
        texts = ["the dog has the ball ?"] * 3
        self.tokenizers = [train_byte_bpe(texts, 280), train_wordpiece(texts, 60), train_unigram(texts, 60)]
        adapted = GPT(MODELS[GPT])
        add_lora(adapted, "query", rank=1)
        save_adapters(adapted, folder / "adapters")
        self.adapters = (folder / "adapters").read_bytes()
        self.run(folder / "run")
        self.saved_run = (folder / "run").read_bytes()
        self.gguf = honest_gguf(folder / "model.gguf")

    def run(self, path: Path) -> object:
        """A run of one step, resumed from the file if it is there."""
        ids = torch.ones(1, 4, dtype=torch.long)
        checkpoint = Checkpoint(path)
        return fit(GPT(MODELS[GPT]), [ids], steps=2, checkpoint=checkpoint, runtime=Runtime("cpu"), progress=False)

    def configuration(self, draw: random.Random, folder: Path) -> object:
        """A folder whose config.json says something else."""
        kind = draw.choice(list(MODELS))
        config, weights = self.sound[kind]
        for _ in range(draw.choice((1, 1, 2))):
            config = changed_json(config, draw)
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "model.safetensors").write_bytes(weights)
        return self.read(kind, folder)

    def weights(self, draw: random.Random, folder: Path) -> object:
        """A folder whose weights are damaged."""
        kind = draw.choice(list(MODELS))
        config, weights = self.sound[kind]
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "model.safetensors").write_bytes(changed_bytes(weights, draw))
        return self.read(kind, folder)

    def read(self, kind: Any, folder: Path) -> object:
        """A model from a folder, which then computes."""
        model = kind.from_pretrained(folder)
        ids = torch.tensor([[1, 0]]).clamp(max=model.config.vocab_size - 1)
        return model(ids, ids) if kind is T5 else model(ids)

    def gguf_file(self, draw: random.Random, folder: Path) -> object:
        """A damaged GGUF file."""
        path = folder / "model.gguf"
        path.write_bytes(changed_bytes(self.gguf, draw))
        file = GGUF(path)
        return load_gguf(ModernDecoder, ModernConfig, file), gguf_tokenizer(file)

    def tokenizer_file(self, draw: random.Random, folder: Path) -> object:
        """A damaged tokenizer.json, which then encodes and decodes."""
        saved = draw.choice(self.tokenizers).to_str()
        if draw.random() < 0.5:
            content = json.dumps(changed_json(json.loads(saved), draw)).encode()
        else:
            content = changed_bytes(saved.encode(), draw)
        (folder / "tokenizer.json").write_bytes(content)
        tokenizer = load_tokenizer(folder)
        encoded = hub.encode(tokenizer, [text(draw), "the dog"], 8)
        return [token_labels(tokenizer, one.ids) for one in encoded]

    def run_file(self, draw: random.Random, folder: Path) -> object:
        """A damaged file of a run."""
        (folder / "run").write_bytes(changed_bytes(self.saved_run, draw))
        return self.run(folder / "run")

    def adapter_file(self, draw: random.Random, folder: Path) -> object:
        """A damaged file of adapters."""
        (folder / "adapters").write_bytes(changed_bytes(self.adapters, draw))
        model = GPT(MODELS[GPT])
        load_adapters(model, folder / "adapters")
        return model

    def texts(self, draw: random.Random, folder: Path) -> object:
        """Texts to encode, to learn a vocabulary from, and to write as a chat."""
        match draw.randrange(4):
            case 0:
                encoded = hub.encode(draw.choice(self.tokenizers), [text(draw), text(draw)], draw.randrange(9))
                return [token_labels(self.tokenizers[0], one.ids[:1]) for one in encoded]
            case 1:
                return hub.encode(draw.choice(self.tokenizers), [[text(draw, 4) for _ in range(3)]], 9)
            case 2:
                return draw.choice((train_byte_bpe, train_wordpiece, train_unigram))([text(draw)], draw.randrange(300))
            case _:
                template = "{% for m in messages %}<|im_start|>{{ m.role }}{{ m.content }}<|im_end|>{% endfor %}"
                return render_chat(template + text(draw, 3), [{"role": "user", "content": text(draw)}])

    def attention(self, draw: random.Random, folder: Path) -> object:
        """Tokens and weights for the attention view, and the page that shows them."""
        length = draw.randrange(1, 4)
        tokens = [text(draw, 4) for _ in range(length)]
        weights: Any = torch.rand(draw.randrange(1, 3), 2, length, length).softmax(-1)
        match draw.randrange(6):
            case 0:
                weights[0, 0, 0, 0] = draw.choice((math.nan, math.inf, -1.0, 2.0))
            case 1:
                tokens = tokens[1:]
            case 2:
                weights = junk(draw)
            case 3:
                tokens = junk(draw)
        return AttentionView(tokens, weights).to_html()

    def decoding(self, draw: random.Random, folder: Path) -> object:
        """A generation with some settings that make no sense, at times by a model that computes none."""
        model = self.gpt
        if draw.random() < 0.2:
            model = GPT(MODELS[GPT])
            model.final_norm.weight.data[0] = draw.choice((math.nan, math.inf))
        ids = torch.randint(11, (draw.randrange(1, 3), draw.randrange(1, 4)))
        given: dict[str, Any] = {}
        if draw.random() < 0.3:
            given["stop"] = draw.choice((junk(draw), 3, [3, 4]))
        if draw.random() < 0.2:
            given["attention_mask"] = draw.choice((junk(draw), ids > 4, torch.ones_like(ids).bool()))
        settings = {name: junk(draw) for name in ("temperature", "top_k", "top_p", "seed") if draw.random() < 0.3}
        beams = draw.choice((junk(draw), draw.randrange(1, 4)))
        given["decoding"] = Sampling(**settings) if draw.random() < 0.7 else BeamSearch(beams)
        return generate(model, ids if draw.random() < 0.9 else junk(draw), draw.choice((3, junk(draw))), **given)


def honest_gguf(path: Path) -> bytes:
    """A sound GGUF file, by the writer of the tests."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from small_gguf import TOKENS, write_gguf

    sizes: dict[str, Any] = {"context_length": 12, "n_layers": 1, "n_heads": 2, "d_model": 8, "d_ff": 12}
    write_gguf(path, ModernDecoder(ModernConfig(vocab_size=len(TOKENS), **sizes)))
    return path.read_bytes()


class Slow(BaseException):
    """Something took too long; no handler of errors catches this."""


def too_long(number: int, frame: FrameType | None) -> None:
    """Handler of the alarm."""
    raise Slow


def verdict(feed: Feeder, seed: int, folder: Path) -> str:
    """How an input is met: "accepted", "refused", or what went wrong."""
    signal.alarm(LONGEST)
    try:
        feed(random.Random(seed), folder)
    except Slow:
        return f"took more than {LONGEST} s"
    except CLEAR as error:
        trace = error.__traceback__
        while trace and trace.tb_next:
            trace = trace.tb_next
        ours = trace is not None and trace.tb_frame.f_code.co_filename.startswith(PACKAGE)
        raw = isinstance(error, UnicodeError) or not (ours or isinstance(error, CheckpointError))
        return f"{type(error).__name__} of others: {error}"[:200] if raw else "refused"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"[:200]
    finally:
        signal.alarm(0)
    return "accepted"


def main() -> None:
    """Feed, count, and write the table."""
    options = report.arguments(__doc__, inputs=100_000, first=0)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY + 8 * 2**30, resource.RLIM_INFINITY))
    signal.signal(signal.SIGALRM, too_long)
    warnings.simplefilter("ignore")
    rows: dict[str, Counter[str]] = {}
    slowest, began, trouble = 0.0, time.process_time(), []
    with tempfile.TemporaryDirectory() as place:
        sound, fed = Path(place) / "sound", Path(place) / "fed"
        sound.mkdir()
        fed.mkdir()
        feeders = Feeders(sound)
        names = [name for name in vars(Feeders) if not name.startswith("_") and name not in ("run", "read")]
        for seed in range(options.first, options.first + options.inputs):
            name = names[seed % len(names)]
            for old in fed.iterdir():
                old.unlink()
            started = time.process_time()
            found = verdict(getattr(feeders, name), seed, fed)
            slowest = max(slowest, time.process_time() - started)
            kind = found if found in ("accepted", "refused") else "trouble"
            rows.setdefault(name, Counter())[kind] += 1
            if kind == "trouble":
                trouble.append({"kind": name, "seed": seed, "what": found})
                print(name, seed, found, flush=True)
    table = {
        "inputs": options.inputs,
        "kinds": rows,
        "trouble": trouble[:100],
        "slowest_seconds": round(slowest, 2),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "cpu_seconds": round(time.process_time() - began),
    }
    report.write("fuzz", table)
    print(json.dumps({**table, "trouble": len(trouble)}, indent=1))


if __name__ == "__main__":
    main()
