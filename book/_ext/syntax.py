"""What stands in the source of a Python program: its definitions, the names it assigns to, its texts."""

import ast
from collections.abc import Iterator
from pathlib import Path


def parsed(path: Path) -> ast.Module:
    """Return a program as a tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


def definitions(owner: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """Yield the public functions and classes that a module or a class defines."""
    for node in owner.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node


def assigned(tree: ast.Module) -> Iterator[str]:
    """Yield the names that a module assigns to."""
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


def strings(tree: ast.AST) -> frozenset[str]:
    """Return every text that stands in a program."""
    values = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return frozenset(value for value in values if isinstance(value, str))
