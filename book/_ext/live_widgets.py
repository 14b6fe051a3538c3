"""Sphinx extension: widgets come alive in the built book, with no kernel and no other host.

Every page gets a small script (the static host and the front end) and a style sheet. The model runtime, the tokenizer
and the models of ``companion.zoo`` lie beside them and are fetched at the first keystroke, or on a click where they are
large, as the vocabularies of published tokenizers are; a slow model answers when a button asks it. What is published is
among them when the cache has it; without it, pages show their pictures as they are. Front end:
``companion/widgets/frontend``; its host and the model in the page: ``companion/widgets/browser``.
"""

import hashlib
import inspect
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.builders.html._assets import _JavaScript
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError
from sphinx.util import logging

from closure import closure, fingerprint

ROOT = Path(__file__).parents[2]
PUBLISHED = {"minilm-l6": "MiniLM", "smollm2-135m": "SmolLM2"}  # fetched models that a page runs, and their names there
ASKED = {"smollm2-135m": 128}  # those that are too slow for each key, so a button asks them; the most tokens of a text
SHARD = 45_000_000  # bytes; some hosts of static pages take no file of 50 MB or more
PICTURE = re.compile(r'(<script type="application/json" data-picture="\d+")>(.+?)</script>', re.S)
PARTS = Path("companion", "parts")
WIDGET = re.compile(r'<figure class="companion-widget" data-widget="(\w+)"')
RUNTIME = "ort/ort-wasm-simd-threaded.wasm"
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
    app.connect("html-page-context", move_pictures)
    app.connect("html-page-context", add_parts)
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
    models = install_models(target / "zoo", Path(app.outdir).parent / "live")
    tokenizers = install_tokenizers(target / "tokenizers")
    (target / "live_worker.js").write_text(bundle.module(SCRIPTS / "live_worker.js"), encoding="utf-8")
    (target / "attention_view.css").write_text(styles(), encoding="utf-8")
    core, parts = bundle.with_parts(SCRIPTS / "book.js", sorted((SCRIPTS / "parts").glob("*.js")))
    shutil.rmtree(target / PARTS.name, ignore_errors=True)
    (target / PARTS.name).mkdir()
    for name, part in parts.items():
        (target / PARTS.name / name).write_text(part, encoding="utf-8")
    version = content_hash(sorted(path for path in target.rglob("*") if path.suffix in {".js", ".json", ".onnx"}))
    catalogue = json.dumps({"runtime": (target / RUNTIME).stat().st_size, "models": models, "tokenizers": tokenizers})
    # the comment changes the address of the script, and so of all that it fetches, with the content of the whole
    script = f"// {version}\nwindow.companionModels = {catalogue};\n{core}"
    (target / "companion.js").write_text(script, encoding="utf-8")


def drop_widget_state(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Leave out the kernel's copy of each widget: the page has the widget's own state, and would carry both."""
    for metadata in getattr(env, "nb_metadata", {}).values():
        metadata.get("js_files", {}).pop("ipywidgets_state", None)
    return []


def move_pictures(app: Sphinx, _page: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    """Put each picture of a gallery into a file of its own, which the page loads when it is chosen."""
    if "data-picture" not in context.get("body", ""):
        return
    folder = Path(app.outdir) / "_static" / "companion" / "pictures"
    folder.mkdir(parents=True, exist_ok=True)

    def moved(found: re.Match[str]) -> str:
        content = found[2].encode()
        file = f"{hashlib.sha256(content).hexdigest()[:16]}.json"
        (folder / file).write_bytes(content)
        return f'{found[1]} data-file="{file}"></script>'

    context["body"] = PICTURE.sub(moved, context["body"])


def add_parts(app: Sphinx, _page: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    """Give a page the script of each widget that it holds; the attention view's is in the script of all pages."""
    for widget in sorted(set(WIDGET.findall(context.get("body", "")))):
        if (Path(app.outdir) / "_static" / PARTS / f"{widget}.js").is_file():
            context["script_files"].append(_JavaScript(f"_static/{PARTS}/{widget}.js", priority=500))


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


def install_models(target: Path, cache: Path) -> dict[str, dict[str, Any]]:
    """Export each model that a page runs, or take it from ``cache`` when nothing that it depends on changed.

    Returns what the pages need to know of each before they load it: what it is called, its size and its files.
    """
    from companion import zoo
    from companion.widgets.live import MASK

    shutil.rmtree(target, ignore_errors=True)  # the files of another state have other names
    found = {}
    for name in [*zoo.names(), *published()]:
        made = cache / f"{name}-{model_key(ROOT, name, zoo.names(), MASK)}"
        if not (made / "limits.json").is_file():
            logger.info("exporting %s for the page", name)
            export_model(name, made, MASK, SHARD)
        shutil.copytree(made, target / name)
        write_labels(target / name)
        files = json.loads((made / "limits.json").read_text(encoding="utf-8"))["files"]
        size = sum((made / file).stat().st_size for file in files)
        found[name] = {"title": PUBLISHED.get(name, name), "bytes": size, "files": files, "asked": name in ASKED}
    return found


def install_tokenizers(target: Path) -> dict[str, dict[str, Any]]:
    """Write the published vocabularies that lie in the cache, each into a file that is named after its content.

    Returns what the pages need to know of each before they load it: its file and its size.
    """
    from companion.data import fetched
    from companion.data.published_tokenizers import NAMES
    from companion.widgets.byte_vocabulary import published_vocabulary

    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    found = {}
    for name in filter(fetched.is_complete, NAMES):
        content = json.dumps(published_vocabulary(name), ensure_ascii=False, separators=(",", ":")).encode()
        file = f"{name}-{hashlib.sha256(content).hexdigest()[:16]}.json"
        (target / file).write_bytes(content)
        found[name] = {"file": file, "bytes": len(content)}
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


def content_hash(paths: list[Path]) -> str:
    """Return a short hash over names and contents."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]
