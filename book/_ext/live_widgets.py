"""Sphinx extension: widgets come alive in the built book, with no kernel and no other host.

Every page gets a small script (the static host and the front end) and a style sheet. The model runtime, the tokenizer
and the models of ``companion.zoo`` lie beside them and are fetched at the first keystroke, or on a click where they are
large, as the vocabularies of published tokenizers are; a slow model answers when a button asks it. What is published is
among them when the cache has it; without it, pages show their pictures as they are. Front end:
``companion/widgets/frontend``; its host and the model in the page: ``companion/widgets/browser``.
"""

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.builders.html._assets import _JavaScript
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError

from page_models import Exports

ROOT = Path(__file__).parents[2]
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


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("builder-inited", begin)
    app.connect("env-updated", install)
    app.connect("env-updated", drop_widget_state)
    app.connect("html-page-context", move_pictures)
    app.connect("html-page-context", add_parts)
    app.add_js_file("companion/companion.js")
    app.add_css_file("companion/attention_view.css")
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def begin(app: Sphinx) -> None:
    """Begin to export the models, beside the notebooks that run and the pages that are read."""
    if app.builder.format == "html":
        app.exports = Exports(Path(app.outdir).parent)  # type: ignore[attr-defined]


def install(app: Sphinx, _env: BuildEnvironment) -> list[str]:
    """Write everything that the pages may fetch to ``_static/companion`` of the output, before they are written."""
    if app.builder.format != "html":
        return []
    from companion.widgets import bundle
    from companion.widgets.attention_view import styles
    from companion.widgets.browser import SCRIPTS

    target = Path(app.outdir) / "_static" / "companion"
    target.mkdir(parents=True, exist_ok=True)
    copy_packages(target)
    models = app.exports.install(target / "zoo")  # type: ignore[attr-defined]
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
    return []


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


def content_hash(paths: list[Path]) -> str:
    """Return a short hash over names and contents."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]
