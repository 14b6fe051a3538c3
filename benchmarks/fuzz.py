"""Damaged and hostile input: is each refused by a message of this package, soon, and in little memory?

``python benchmarks/fuzz.py`` feeds 100,000 inputs to what reads files and texts from elsewhere: checkpoints (their
configurations and weights), GGUF files, tokenizers, files of runs and of adapters, texts, attention for the widget,
decoding, and the service. Most are sound inputs with some bytes or values changed. It writes ``results/fuzz.json``: how
many of each kind were refused or accepted, and every one that crashed, took more than ten seconds, or raised an error
of another library.
"""

import contextlib
import json
import math
import random
import resource
import signal
import socket
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

import report
import torch
from fuzz_inputs import changed_bytes, changed_json, junk, text

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
from companion.serving.requests import Limits, RefusedError
from companion.serving.service import Service
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
Feeder = Callable[[random.Random, Path], object]


class Feeders:
    """What is fed, with the sound inputs that are changed, made once in a folder."""

    def __init__(self, folder: Path, address: str) -> None:
        """Make the sound inputs; ``address`` is that of the service."""
        self.address = urlsplit(address)
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

    def service(self, draw: random.Random, folder: Path) -> object:
        """Bytes sent to the service, which must answer all of them with a status and, unless it is 200, a reason."""
        body = json.dumps(changed_json({"texts": [text(draw), "the dog"]}, draw)).encode()
        body = changed_bytes(body, draw) if draw.random() < 0.5 else body
        length = len(body) if draw.random() < 0.8 else draw.choice((-1, 0, 1, 10**30, "", "x", "1, 2"))
        head = (
            f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        )
        sent = (changed_bytes(head.encode(), draw) if draw.random() < 0.5 else head.encode()) + body
        with socket.create_connection((self.address.hostname, self.address.port), LONGEST) as client:
            client.sendall(sent)
            with contextlib.suppress(OSError):  # it has answered, and is gone
                client.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: client.recv(65_536), b""))
        status, said = int(answer.split()[1]), json.loads(answer.partition(b"\r\n\r\n")[2])
        if status == 200:
            return said["answers"] if "answers" in said else said["status"]
        if not 400 <= status < 500:
            raise AssertionError(f"status {status}: {said}")
        raise RefusedError(status, said["error"])


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
        raw = isinstance(error, UnicodeError) or not (ours or isinstance(error, CheckpointError | RefusedError))
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
    limits = Limits(body_bytes=200, texts=3, characters=20, read_seconds=2.0)
    lengths = Service(lambda texts: [len(text) for text in texts], about={"model": "length"}, limits=limits)
    with tempfile.TemporaryDirectory() as place, lengths as running:
        sound, fed = Path(place) / "sound", Path(place) / "fed"
        sound.mkdir()
        fed.mkdir()
        feeders = Feeders(sound, running.address)
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
