"""The models that pages run, as files for a browser: exported in a process of its own while a build runs its notebooks.

A model is exported again when something that its files depend on has changed. What is published is among them when the
cache has it. The exporter: ``companion/widgets/browser/onnx.py``.
"""

import atexit
import hashlib
import inspect
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sphinx.errors import ExtensionError
from sphinx.util import logging

from closure import closure, fingerprint

ROOT = Path(__file__).parents[2]
PUBLISHED = {"minilm-l6": "MiniLM", "smollm2-135m": "SmolLM2"}  # fetched models that a page runs, and their names there
ASKED = {"smollm2-135m": 128}  # those that are too slow for each key, so a button asks them; the most tokens of a text
SHARD = 45_000_000  # bytes; some hosts of static pages take no file of 50 MB or more
YIELDING = 5  # the notebooks go first: after the last of them a build has a processor to spare
TOLD = 2_000  # characters of the end of the log
logger = logging.getLogger(__name__)


class Exports:
    """The exports that one build needs, and the process that makes those that are not there yet."""

    def __init__(self, output: Path) -> None:
        """Begin to export what is missing.

        Args:
            output: folder in which a build keeps its work: the models lie in its ``live``.
        """
        from companion import zoo
        from companion.widgets.live import MASKS

        names = [*zoo.names(), *published()]
        self.folders = {
            name: output / "live" / f"{name}-{model_key(ROOT, name, zoo.names(), MASKS[0])}" for name in names
        }
        self.log = output / "logs" / "exports.log"
        self.process: subprocess.Popen[bytes] | None = None
        missing = {name: folder for name, folder in self.folders.items() if not (folder / "limits.json").is_file()}
        if missing:
            logger.info("exporting %s for the pages", ", ".join(missing))
            command = [sys.executable, __file__, *(str(part) for pair in missing.items() for part in pair)]
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with self.log.open("wb") as log:
                self.process = subprocess.Popen(command, stdout=log, stderr=log)
            atexit.register(self.process.kill)  # where the build ends before it

    def install(self, target: Path) -> dict[str, dict[str, Any]]:
        """Wait for the exports and copy them.

        Returns what the pages need to know of each model before they load it: what it is called, its size and its files.

        Raises:
            ExtensionError: when one could not be exported.
        """
        if self.process and (code := self.process.wait()):
            told = self.log.read_text(encoding="utf-8", errors="replace")[-TOLD:]
            raise ExtensionError(f"the models of the pages could not be exported (exit code {code}):\n{told}")
        shutil.rmtree(target, ignore_errors=True)  # the files of another state have other names
        found = {}
        for name, made in self.folders.items():
            shutil.copytree(made, target / name)
            write_labels(target / name)
            files = json.loads((made / "limits.json").read_text(encoding="utf-8"))["files"]
            size = sum((made / file).stat().st_size for file in files)
            found[name] = {"title": PUBLISHED.get(name, name), "bytes": size, "files": files, "asked": name in ASKED}
        return found


def published() -> list[str]:
    """Return the published models that the pages can run: those that lie in the cache; none is fetched for them."""
    from companion.data import fetched

    found = [name for name in PUBLISHED if fetched.is_complete(name)]
    for name in PUBLISHED.keys() - set(found):
        logger.info("%s is not in the cache, so no page runs it (`python -m companion.zoo fetch %s`)", name, name)
    return found


def model_key(root: Path, name: str, others: Sequence[str], mask: str) -> str:
    """Return a hash of what the exported file depends on: what :func:`export_model` imports, and this one model."""
    from companion.data.published import CATALOGUE

    code = inspect.getsource(export_model)
    foreign = set(others) - {name}  # each model is a folder of its own
    found = [path for path in closure(root, [code]) if path.parent.name not in foreign]
    weights = [member.sha256 for member in CATALOGUE[name].members] if name in CATALOGUE else []
    return fingerprint(root, [code, mask, str(SHARD), str(ASKED.get(name)), *weights], found)


def export_model(name: str, folder: Path, mask: str, shard: int) -> None:
    """Write one model of the zoo: its weights in files of at most ``shard`` bytes, its tokenizer and its limits.

    A file of weights is named after its content, so that a browser may keep it for good.
    """
    from companion import zoo
    from companion.checkpoints.gguf_file import GGUF
    from companion.models.bert import Bert
    from companion.widgets.browser.onnx import export_onnx
    from companion.widgets.browser.onnx_gguf import export_gguf
    from companion.widgets.live import without_padding

    model, tokenizer = zoo.load(name)
    tokenizer = without_padding(tokenizer)
    whole, quantized = folder / "model.onnx", zoo.folder(name) / zoo.GGUF_NAME
    if quantized.is_file():
        export_gguf(model, GGUF(quantized), whole)
    else:
        export_onnx(model, whole, tokenizer.token_to_id("[SEP]"), bits=8 if name in zoo.FETCHED else 16)
    content = whole.read_bytes()
    whole.unlink()
    parts = [content[start : start + shard] for start in range(0, len(content), shard)]
    files = [f"{hashlib.sha256(part).hexdigest()[:16]}.onnx" for part in parts]
    for file, part in zip(files, parts, strict=True):
        (folder / file).write_bytes(part)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    longest = model.config.context_length
    limits = {"context_length": min(longest, ASKED.get(name, longest)), "files": files}
    if (mask_id := tokenizer.token_to_id(mask)) is not None and not isinstance(model, Bert):  # which fills in nothing
        limits |= {"mask": mask, "mask_id": mask_id}
    (folder / "limits.json").write_text(json.dumps(limits), encoding="utf-8")  # last: it marks a whole folder


def write_labels(folder: Path) -> None:
    """Write ``labels.json``, the name of each token of the folder's tokenizer: the page need not know how to name it."""
    from companion.data.tokenization import load_tokenizer, token_labels

    tokenizer = load_tokenizer(folder)
    labels = token_labels(tokenizer, range(tokenizer.get_vocab_size()))
    text = json.dumps(labels, ensure_ascii=False, separators=(",", ":"))
    (folder / "labels.json").write_text(text, encoding="utf-8")


def main() -> None:
    """Export the models that the command line names, each into the folder that stands behind its name."""
    from companion.widgets.live import MASKS

    os.nice(YIELDING)
    for name, folder in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        export_model(name, Path(folder), MASKS[0], SHARD)


if __name__ == "__main__":
    main()
