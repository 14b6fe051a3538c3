"""Sphinx extension: widgets come alive in the built book, with no kernel and no other host.

Every page gets a small script (the static host and the front end) and a style sheet. The model runtime, the tokenizer
and the models of ``companion.zoo`` lie beside them and are fetched at the first keystroke. Front end:
``companion/widgets/frontend``; its host and the model in the page: ``companion/widgets/browser``.
"""

import hashlib
import inspect
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError
from sphinx.util import logging

from closure import closure, fingerprint

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "ort": (
        "onnxruntime-web/dist",
        (
            "ort.wasm.min.mjs",
            "ort-wasm-simd-threaded.mjs",
            "ort-wasm-simd-threaded.wasm",
            "ort.webgpu.min.mjs",
            "ort-wasm-simd-threaded.asyncify.mjs",
            "ort-wasm-simd-threaded.asyncify.wasm",
        ),
    ),
    ".": ("@huggingface/tokenizers/dist", ("tokenizers.min.mjs",)),
}
logger = logging.getLogger(__name__)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("builder-inited", install)
    app.connect("env-updated", drop_widget_state)
    app.add_js_file("companion/companion.js")
    app.add_css_file("companion/attention_view.css")
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def install(app: Sphinx) -> None:
    """Write everything that the pages may fetch to ``_static/companion`` of the output."""
    if app.builder.format != "html":
        return
    from companion.widgets import bundle
    from companion.widgets.attention_view import styles
    from companion.widgets.browser import SCRIPTS

    target = Path(app.outdir) / "_static" / "companion"
    target.mkdir(parents=True, exist_ok=True)
    copy_packages(target)
    install_models(target / "zoo", Path(app.outdir).parent / "live")
    (target / "live_worker.js").write_text(bundle.module(SCRIPTS / "live_worker.js"), encoding="utf-8")
    (target / "attention_view.css").write_text(styles(), encoding="utf-8")
    version = content_hash(sorted(path for path in target.rglob("*") if path.suffix in {".js", ".json", ".onnx"}))
    # the comment changes the address of the script, and so of all that it fetches, with the content of the whole
    script = f"// {version}\n{bundle.script(SCRIPTS / 'book.js')}"
    (target / "companion.js").write_text(script, encoding="utf-8")


def drop_widget_state(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Leave out the kernel's copy of each widget: the page has the widget's own state, and would carry both."""
    for metadata in getattr(env, "nb_metadata", {}).values():
        metadata.get("js_files", {}).pop("ipywidgets_state", None)
    return []


def copy_packages(target: Path) -> None:
    """Copy the browser's runtime and tokenizer out of ``node_modules``.

    Raises:
        ExtensionError: when they are not installed.
    """
    for folder, (package, names) in PACKAGES.items():
        (target / folder).mkdir(exist_ok=True)
        for name in names:
            source = ROOT / "node_modules" / package / name
            if not source.is_file():
                raise ExtensionError(f"node_modules/{package}/{name} is missing; `make book` or `npm ci` installs it")
            copy = target / folder / name
            if not copy.is_file() or copy.stat().st_mtime_ns != source.stat().st_mtime_ns:
                shutil.copy2(source, copy)


def install_models(target: Path, cache: Path) -> None:
    """Export each model of the zoo for the page, or take it from ``cache`` when nothing that it depends on changed."""
    from companion import zoo
    from companion.widgets.live import MASK

    for name in zoo.names():
        made = cache / f"{name}-{model_key(ROOT, name, zoo.names(), MASK)}"
        if not (made / "limits.json").is_file():
            logger.info("exporting %s for the page", name)
            export_model(name, made, MASK)
        shutil.copytree(made, target / name, dirs_exist_ok=True)
        write_labels(name, target / name)


def model_key(root: Path, name: str, others: Sequence[str], mask: str) -> str:
    """Return a hash of what the exported file depends on: what :func:`export_model` imports, and this one model."""
    code = inspect.getsource(export_model)
    foreign = set(others) - {name}  # each model is a folder of its own
    found = [path for path in closure(root, [code]) if path.parent.name not in foreign]
    return fingerprint(root, [code, mask], found)


def export_model(name: str, folder: Path, mask: str) -> None:
    """Write ``model.onnx``, ``tokenizer.json`` and ``limits.json`` of one model of the zoo."""
    from companion import zoo
    from companion.widgets.browser.onnx import export_onnx

    model, tokenizer = zoo.load(name)
    export_onnx(model, folder / "model.onnx", tokenizer.token_to_id("[SEP]"))
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    limits = {"context_length": model.config.context_length}
    if (mask_id := tokenizer.token_to_id(mask)) is not None:
        limits |= {"mask": mask, "mask_id": mask_id}
    (folder / "limits.json").write_text(json.dumps(limits), encoding="utf-8")  # last: it marks a whole folder


def write_labels(name: str, folder: Path) -> None:
    """Write ``labels.json``: the name of each token, so that the page need not know how tokens are named."""
    from companion import zoo
    from companion.data.tokenization import load_tokenizer, token_labels

    tokenizer = load_tokenizer(zoo.folder(name))
    labels = token_labels(tokenizer, range(tokenizer.get_vocab_size()))
    text = json.dumps(labels, ensure_ascii=False, separators=(",", ":"))
    (folder / "labels.json").write_text(text, encoding="utf-8")


def content_hash(paths: list[Path]) -> str:
    """Return a short hash over names and contents."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]
