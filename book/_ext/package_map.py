"""What the package holds, which pages use it and which tests: read from the sources; nothing is imported, or listed.

A page uses a module when a code cell imports it or something that is defined there, when its text says
``python -m`` before its name, or when it numbers an equation or sets an exercise that the module holds. A name that a package passes on
(``from companion.losses.causal import causal_loss`` in its ``__init__.py``) counts for the module that defines it.
"""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

from syntax import assigned, definitions, parsed, strings

PACKAGE = "companion"
# Packages that find modules below them by a constant; what looks up in it by name -> the constant.
GATHERERS = {f"{PACKAGE}.lessons": {"equation": "EQUATIONS", "exercise": "EXERCISES"}}
MAKERS = {  # what makes the things that a package holds: what a page runs of a widget, and the models that ship
    f"{PACKAGE}.widgets": "book/_ext/page_models.py",
    f"{PACKAGE}.zoo": f"{PACKAGE}/zoo/__main__.py",
}
MAGIC = re.compile(r"^(\s*)[%!].*$", re.MULTILINE)
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(?::[^\n]*\n)*(.*?)^```", re.MULTILINE | re.DOTALL)
EQUATION = re.compile(r"eq-[\w-]+")
LABEL = re.compile(r"^\$\$ \((eq-[\w-]+)\)$", re.MULTILINE)  # the end of a numbered equation
COMMAND = re.compile(rf"python -m ({PACKAGE}(?:\.\w+)*)")
PAGE = re.compile(r"\bbook/[\w/]+\.(?:ipynb|md)\b")


class Import(NamedTuple):
    """One name that a program imports: from which module, what it is there (nothing: the module), its name here."""

    module: str
    name: str
    alias: str


@dataclass(frozen=True)
class Module:
    """A module of the package as its source has it.

    Attributes:
        name: with dots.
        path: from the root of the repository.
        doc: its docstring; empty without one.
        public: its public functions and classes in the order of the source, each a "function" or a "class".
        undocumented: those of them that have no docstring.
        derived: those that are made from another class.
        members: the public methods and properties of its classes, as ``Class.method``, that have a docstring.
        constants: what else it gives a name.
        imports: what it imports from the package.
        strings: every text that stands in its code.
        catalogues: the constants by which a package finds it; the tests named like these test it.
    """

    name: str
    path: str
    doc: str
    public: dict[str, str]
    undocumented: frozenset[str]
    derived: frozenset[str]
    members: frozenset[str]
    constants: frozenset[str]
    imports: tuple[Import, ...]
    strings: frozenset[str]
    catalogues: frozenset[str]

    @property
    def gathered(self) -> bool:
        """Whether a package finds it by itself."""
        return bool(self.catalogues)

    @cached_property
    def labels(self) -> frozenset[str]:
        """The labels of the equations that it checks."""
        return frozenset(value for value in self.strings if EQUATION.fullmatch(value))

    @property
    def package(self) -> str:
        """The package that it lies in."""
        return self.name.rpartition(".")[0]

    @property
    def pages(self) -> list[str]:
        """The pages that its docstring names, without the endings of their files."""
        return list(dict.fromkeys(found.rpartition(".")[0] for found in PAGE.findall(self.doc)))


class Page(NamedTuple):
    """What a page uses of the package: what its cells import, and the modules that it shows without an import."""

    imports: tuple[Import, ...]
    shown: frozenset[str]


@cache
def modules(root: Path) -> dict[str, Module]:
    """Return every module of the package by its name, in the order of the names."""
    paths = {dotted(path.relative_to(root)): path for path in (root / PACKAGE).rglob("*.py")}
    return {name: read_module(root, name, paths[name], frozenset(paths)) for name in sorted(paths)}


def dotted(path: Path) -> str:
    """Return the name of the module in a file."""
    return ".".join(part for part in path.with_suffix("").parts if part != "__init__")


def read_module(root: Path, name: str, path: Path, known: frozenset[str]) -> Module:
    """Return what the source of a module says."""
    tree = parsed(path)
    constants = frozenset(assigned(tree))
    return Module(
        name=name,
        path=path.relative_to(root).as_posix(),
        doc=ast.get_docstring(tree) or "",
        public={n.name: "class" if isinstance(n, ast.ClassDef) else "function" for n in definitions(tree)},
        undocumented=frozenset(node.name for node in definitions(tree) if not ast.get_docstring(node)),
        derived=frozenset(n.name for n in definitions(tree) if isinstance(n, ast.ClassDef) and n.bases),
        members=frozenset(
            f"{owner.name}.{node.name}"
            for owner in definitions(tree)
            if isinstance(owner, ast.ClassDef)
            for node in definitions(owner)
            if ast.get_docstring(node)
        ),
        constants=constants,
        imports=tuple(imports(tree, known)),
        strings=strings(tree),
        catalogues=frozenset(
            constant
            for package, lookups in GATHERERS.items()
            for constant in lookups.values()
            if name.startswith(f"{package}.") and constant in constants
        ),
    )


def imports(tree: ast.AST, known: frozenset[str]) -> Iterator[Import]:
    """Yield what a program imports from the known modules, in functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for found in node.names:
                if found.name in known:
                    yield Import(found.name, "", found.asname or found.name)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            for found in node.names:
                alias, whole = found.asname or found.name, f"{node.module}.{found.name}"
                yield Import(whole, "", alias) if whole in known else Import(str(node.module), found.name, alias)


def defined(root: Path, module: str, name: str) -> tuple[str, str]:
    """Return the module that defines what another one may only pass on, and its name there."""
    for found in modules(root)[module].imports:
        if name and found.alias == name and name not in modules(root)[module].public:
            return defined(root, found.module, found.name)
    return module, name


@cache
def pages(root: Path) -> dict[str, Page]:
    """Return, for each page with code cells that are run, what it uses of the package."""
    paths = [*(root / "book").rglob("*.ipynb"), *(root / "book").rglob("*.md")]
    inside = {path: path.relative_to(root) for path in sorted(paths)}
    chosen = {path: short for path, short in inside.items() if not any(p.startswith((".", "_")) for p in short.parts)}
    read = {short.with_suffix("").as_posix(): read_page(root, path) for path, short in chosen.items()}
    return {name: page for name, page in read.items() if page.imports or page.shown}


def read_page(root: Path, path: Path) -> Page:
    """Return what a page uses of the package."""
    code, text = cells(path)
    known = frozenset(modules(root))
    tree = ast.parse(MAGIC.sub(r"\1pass", code))
    commands = {f"{name}.__main__" for name in COMMAND.findall(text)} & known
    named = set(LABEL.findall(text)) | looked_up_names(tree)
    checks = {name for name, module in modules(root).items() if module.gathered and module.strings & named}
    return Page(tuple(dict.fromkeys(imports(tree, known))), frozenset(commands | checks))


def looked_up_names(tree: ast.AST) -> set[str]:
    """Return the names that a program looks up in the catalogues, such as that of an exercise."""
    lookups = {lookup for functions in GATHERERS.values() for lookup in functions}
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args)
    given = (node.args[0] for node in calls if getattr(node.func, "id", None) in lookups)
    return {one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str)}


def cells(path: Path) -> tuple[str, str]:
    """Return the code of a page that is run, and its text."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return "\n".join(CELL.findall(source)), source
    found = json.loads(source)["cells"]
    kinds = ("code", "markdown")
    code, text = ("\n\n".join("".join(cell["source"]) for cell in found if cell["cell_type"] == kind) for kind in kinds)
    return code, text


def imported_by(root: Path, found: tuple[Import, ...]) -> dict[str, list[str]]:
    """Return the modules behind imports, each with the names of it that are used, in the order of the imports."""
    used: dict[str, list[str]] = {}
    for one in found:
        module, name = defined(root, one.module, one.name)
        names = used.setdefault(module, [])
        if name and name not in names:
            names.append(name)
    return used


def reached(root: Path, page: str) -> set[str]:
    """Return every module that a page uses directly, through another module, or through what makes what it shows."""
    new = [*imported_by(root, pages(root)[page].imports), *pages(root)[page].shown]
    found: set[str] = set()
    while new:
        name = new.pop()
        if name and name not in found:
            found.add(name)
            new += [*imported_by(root, modules(root)[name].imports), modules(root)[name].package]
            new += [one.module for one in modules(root)[name].imports]
            if name in MAKERS:
                new += [one.module for one in imports(parsed(root / MAKERS[name]), frozenset(modules(root)))]
    return found


def users(root: Path, module: str) -> list[str]:
    """Return the pages that show a module: those that its docstring names, then those that use it directly."""
    direct = [name for name, used in used_directly(root).items() if module in used]
    return list(dict.fromkeys([*modules(root)[module].pages, *direct]))


@cache
def used_directly(root: Path) -> dict[str, frozenset[str]]:
    """Return, for each page with code cells that are run, the modules that it uses directly."""
    return {name: page.shown.union(imported_by(root, page.imports)) for name, page in pages(root).items()}


@cache
def tests(root: Path) -> dict[str, frozenset[str]]:
    """Return, for each file of tests, the modules that it imports, or something that is defined there."""
    found = {}
    for path in (root / "tests").rglob("*.py"):
        taken = tuple(imports(parsed(path), frozenset(modules(root))))
        found[path.relative_to(root).as_posix()] = frozenset(imported_by(root, taken)) | {one.module for one in taken}
    return found


def tests_of(root: Path, module: str) -> list[str]:
    """Return the files of tests that import a module; if a package finds it by itself, those of what it holds too.

    Those that have its name, or its package's, come first.
    """
    one = modules(root)[module]
    own = [f"test_{name.rpartition('.')[2]}" for name in (module, one.package)]
    gathered = tuple(f"/test_{name.lower()}.py" for name in one.catalogues)
    mine = {path for path in tests(root) if path.endswith(gathered)}
    found = mine.union(path for path, used in tests(root).items() if module in used)
    return sorted(found, key=lambda path: (Path(path).stem not in own, path))
