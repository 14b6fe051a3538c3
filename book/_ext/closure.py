"""What code depends on: the files that it reaches by imports, and a hash that changes when one of them does.

A file of data (weights, texts, scripts for the page) belongs to the package in whose folder it lies and comes with any
module of that package. A table in ``benchmarks/results`` comes with the module that reads it, for code that names it.
What a package gathers by itself, such as the equations of all chapters, is imported whole and used by name: of that
only the modules count whose catalogue holds a name that the code looks up.
"""

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from package_map import GATHERERS, MAGIC, PACKAGE, Import, imports, modules, pages, tests, used_directly
from syntax import parsed, strings

RESULTS = ("benchmarks", "results")  # a folder outside the package; the module that reads it names both parts
LOOKUPS = {name: constant for lookups in GATHERERS.values() for name, constant in lookups.items()}


class Program(NamedTuple):
    """What code says of the package: what it imports, the texts in it, and what it looks up by name.

    Each of `wanted` is a constant that holds a catalogue, and a pattern for names in it.
    """

    imports: tuple[Import, ...]
    strings: frozenset[str]
    wanted: frozenset[tuple[str, str]]


def read_program(root: Path, tree: ast.AST) -> Program:
    """Return what a program says of the package."""
    taken, texts = tuple(imports(tree, frozenset(modules(root)))), strings(tree)
    wanted = frozenset(pair for node in ast.walk(tree) for pair in looked_up(node, texts))
    return Program(taken, texts, wanted)


def looked_up(node: ast.AST, texts: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield what a call looks up: a name, a pattern for an f-string, any text of the program for anything else."""
    if not isinstance(node, ast.Call) or not node.args:
        return
    constant = LOOKUPS.get(getattr(node.func, "id", getattr(node.func, "attr", "")))
    match constant, node.args[0]:
        case None, _:
            return
        case str(), ast.Constant(value=str(name)):
            yield constant, re.escape(name)
        case str(), ast.JoinedStr(values=parts):
            yield constant, "".join(re.escape(str(p.value)) if isinstance(p, ast.Constant) else ".*" for p in parts)
        case _:
            yield from ((str(constant), re.escape(text)) for text in texts)


@cache
def program_of(root: Path, name: str) -> Program:
    """Return what a module of the package says of the others."""
    module = modules(root)[name]
    if any(one.module in GATHERERS for one in module.imports):
        return read_program(root, parsed(root / module.path))
    return Program(module.imports, module.strings, frozenset())


def catalogues(root: Path, program: Program) -> set[str]:
    """Return the gathered modules that a program uses: those it looks up in, or all if it takes more than a lookup."""
    whole = tuple(f"{one.module}." for one in program.imports if takes_all(root, one))
    gathered = {name: module for name, module in modules(root).items() if module.gathered}
    found = {name for name in gathered if name.startswith(whole)}
    for constant, pattern in program.wanted:
        holders = (name for name, module in gathered.items() if constant in module.catalogues)
        found |= {name for name in holders if any(re.fullmatch(pattern, text) for text in gathered[name].strings)}
    return found


def takes_all(root: Path, one: Import) -> bool:
    """Return whether an import takes a gathering package itself, or a function of it that lists what it has."""
    public = modules(root)[one.module].public
    return one.module in GATHERERS and (not one.name or (one.name in public and one.name not in LOOKUPS))


def reached(root: Path, program: Program) -> dict[str, Program]:
    """Return the modules that run when a program does, each as a program of its own."""
    found: dict[str, Program] = {}
    new = [*(one.module for one in program.imports), *catalogues(root, program)]
    while new:
        name = new.pop()
        if name and name not in found:
            found[name] = program_of(root, name)
            new += [one.module for one in found[name].imports if not gathers(root, name, one.module)]
            new += [modules(root)[name].package]
            if not name.startswith(tuple(GATHERERS)):
                new += catalogues(root, found[name])
    return found


def gathers(root: Path, name: str, imported: str) -> bool:
    """Return whether a module imports another only to gather it."""
    known = modules(root)
    return name.startswith(tuple(GATHERERS)) and not known[name].gathered and known[imported].gathered


def files(root: Path, program: Program) -> list[Path]:
    """Return the files that a program depends on, in a fixed order."""
    found = reached(root, program)
    paths = {root / modules(root)[name].path for name in found}
    paths |= {path for package in {package_folder(path) for path in paths} for path in data(root).get(package, ())}
    for reader in (name for name in found if set(RESULTS) <= modules(root)[name].strings):
        users = [one for one in (program, *found.values()) if reader in {i.module for i in one.imports}]
        named = {text for user in users for text in user.strings}
        paths |= {path for path in root.joinpath(*RESULTS).glob("*.json") if path.stem in named}
    return sorted(paths)


@cache
def package_folder(path: Path) -> Path:
    """Return the nearest folder above a file that is a package."""
    return next((folder for folder in path.parents if (folder / "__init__.py").is_file()), path.parent)


@cache
def data(root: Path) -> dict[Path, list[Path]]:
    """Return the files of the package that are no code, by the folder of the package that each belongs to."""
    found: dict[Path, list[Path]] = {}
    for path in sorted((root / PACKAGE).rglob("*")):
        parts = path.relative_to(root).parts
        if path.is_file() and path.suffix != ".py" and not any(p.startswith((".", "__pycache__")) for p in parts):
            found.setdefault(package_folder(path), []).append(path)
    return found


def closure(root: Path, cells: Sequence[str]) -> list[Path]:
    """Return the files that the code of cells depends on; a cell that is not plain Python may depend on any."""
    tree = ast.Module([], [])
    try:
        for cell in cells:
            tree.body += ast.parse(MAGIC.sub(r"\1pass", cell)).body
    except SyntaxError:
        everything = tuple(Import(name, "", name) for name in modules(root))
        return files(root, Program(everything, frozenset(), frozenset()))
    return files(root, read_program(root, tree))


def closure_of(root: Path, names: Iterable[str]) -> list[Path]:
    """Return the files that modules of the package depend on, those modules among them, and no more catalogues."""
    return files(root, Program(tuple(Import(name, "*", "") for name in names), frozenset(), frozenset()))


def fingerprint(root: Path, texts: Iterable[str], paths: Iterable[Path]) -> str:
    """Return a short hash of texts, and of the names and the bytes of files."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(f"{len(text)}\0{text}".encode(errors="surrogatepass"))
    for path in paths:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def forget() -> None:
    """Read all sources anew from now on: a process that stays sees the edits between two builds."""
    for read in (modules, pages, used_directly, tests, program_of, package_folder, data):
        read.cache_clear()
