"""ES modules that import each other by relative path, joined into one file, with no tool beside Python.

Two forms are understood: ``import { names } from "./neighbour.js";`` and ``export`` in front of a function, a class or
a constant; beside them one ``export default``, which only the first file's reader sees. Each name is declared once in
all files, so what one exports is what the others import. Chapter: ``book/concepts/attention.ipynb``.
"""

import re
from collections.abc import Collection, Iterable
from graphlib import TopologicalSorter
from pathlib import Path

from companion.widgets import minified

IMPORT = re.compile(r'^import \{(\s*\w+(?:,\s*\w+)*,?\s*)\} from "(\.{1,2}/[\w./]+)";\n', re.M)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) (\w+))", re.M)
DEFAULT = re.compile(r"^export default .*;\n", re.M)
DECLARATION = re.compile(r"^(?:async )?(?:function|class|const|let) (\w+)", re.M)
HANDED = "companionHanded"  # the window's name for what the parts of a script take from it
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


def with_parts(entry: Path, parts: Iterable[Path]) -> tuple[str, dict[str, str]]:
    """Return ``entry`` as one classic script, and each of ``parts`` as another that may run after it.

    What a part and ``entry`` both lead to is in the script of ``entry`` alone, which hands on what is imported from it.

    Args:
        entry: a file, as in :func:`script`.
        parts: further files.

    Returns:
        The script of ``entry``, and those of the parts by the names of their files.

    Raises:
        ValueError: see :func:`module`.
    """
    there = _read(entry.resolve())[0]
    scripts, handed = {}, set[str]()
    for path in parts:
        imports = _read(path.resolve())[1]
        own = imports.keys() - there.keys()
        names = {name for one in own for neighbour in imports[one].keys() - own for name in imports[one][neighbour]}
        taken = f"const {{{','.join(sorted(names))}}}=window.{HANDED};"
        scripts[path.name] = f"(() => {{\n{taken}\n{_joined(path, there)}\n}})();\n"
        handed |= names
    return f"(() => {{\n{_joined(entry)}\nwindow.{HANDED}={{{','.join(sorted(handed))}}};\n}})();\n", scripts


def _joined(entry: Path, there: Collection[Path] = ()) -> str:
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
        if path not in there:
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
