"""ES modules that import each other by relative path, joined into one file, with no tool beside Python.

Two forms are understood: ``import { names } from "./neighbour.js";`` and ``export`` in front of a function, a class or
a constant; beside them one ``export default``, which only the first file's reader sees. Each name is declared once in
all files, so what one exports is what the others import. Chapter: ``book/concepts/attention.ipynb``.
"""

import re
from graphlib import TopologicalSorter
from pathlib import Path

from companion.widgets import minified

IMPORT = re.compile(r'^import \{(\s*\w+(?:,\s*\w+)*,?\s*)\} from "(\.{1,2}/[\w./]+)";\n', re.M)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) (\w+))", re.M)
DEFAULT = re.compile(r"^export default .*;\n", re.M)
DECLARATION = re.compile(r"^(?:async )?(?:function|class|const|let) (\w+)", re.M)
OTHER_FORM = re.compile(r"^(?:\s*import\b(?!\s*[(.])|\s*export\b|(?:const|let) [\[{]|var ).*", re.M)


def module(entry: Path) -> str:
    """Return ``entry`` and all that it imports as one module, with the default export of ``entry`` if it has one.

    Raises:
        ValueError: when the files use another form of import or export, import a name that is not exported, declare
            one name twice, or import each other in a circle.
    """
    return "\n".join((_joined(entry), *DEFAULT.findall(entry.read_text(encoding="utf-8"))))


def script(entry: Path) -> str:
    """Return ``entry`` and all that it imports as one classic script, which a page opened from disk may run too.

    Raises:
        ValueError: see :func:`module`.
    """
    return f"(() => {{\n{_joined(entry)}\n}})();\n"


def _joined(entry: Path) -> str:
    sources, imports = _read(entry.resolve())
    exported = {path: set(EXPORT.findall(source)) for path, source in sources.items()}
    declared: dict[str, Path] = {}
    parts = []
    for path in TopologicalSorter(imports).static_order():
        for neighbour, names in imports[path].items():
            if missing := names - exported[neighbour]:
                raise ValueError(f"{path.name} imports {', '.join(sorted(missing))}, which {neighbour.name} lacks")
        code = EXPORT.sub("", DEFAULT.sub("", IMPORT.sub("", sources[path])))
        if other := OTHER_FORM.search(code):
            raise ValueError(f"{path.name}: {other[0].strip()!r} is in no form that this module joins")
        for name in DECLARATION.findall(code):
            if name in declared:
                raise ValueError(f"{name} is declared in {declared[name].name} and in {path.name}")
            declared[name] = path
        parts.append(minified.script(code))
    return "\n".join(parts)


def _read(entry: Path) -> tuple[dict[Path, str], dict[Path, dict[Path, set[str]]]]:
    """Return the source of each file that ``entry`` leads to, and what it imports from which."""
    sources: dict[Path, str] = {}
    imports: dict[Path, dict[Path, set[str]]] = {}
    waiting = [entry]
    while waiting:
        path = waiting.pop()
        if path in sources:
            continue
        sources[path] = path.read_text(encoding="utf-8")
        found = IMPORT.findall(sources[path])
        imports[path] = {(path.parent / where).resolve(): set(re.findall(r"\w+", names)) for names, where in found}
        waiting += imports[path]
    return sources, imports
