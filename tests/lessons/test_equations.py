"""Every numbered equation of the book has a check, and the check means something."""

import ast
import dataclasses
import inspect
import itertools
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType, FunctionType
from typing import Any

import nbformat
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from package_map import LABEL

import companion
from companion.lessons import Equation, equation, labels

FORMS = [(label, name) for label in labels() for name in equation(label).forms]
WITH_COMPANION = [label for label in labels() if equation(label).companion]
PACKAGE = f"{Path(companion.__file__).parent}/"
NOT_COMPUTING = ("__init__", "__post_init__", "__get__")  # what is constructed, and what is read, with all below it

every_equation = pytest.mark.parametrize("label", labels())
every_form = pytest.mark.parametrize(("label", "name"), FORMS)


@pytest.fixture
def in_double():
    """Random inputs of an equation by its label; new tensors are float64 meanwhile, as in a check."""
    torch.set_default_dtype(torch.float64)
    yield lambda label: equation(label).draw(torch.Generator().manual_seed(0))
    torch.set_default_dtype(torch.float32)


def labels_of_the_book(root: Path) -> list[str]:
    found = []
    for path in sorted((root / "book").rglob("*.ipynb")):
        if ".ipynb_checkpoints" not in path.parts:
            cells = nbformat.read(path, as_version=4).cells
            found += [label for cell in cells if cell.cell_type == "markdown" for label in LABEL.findall(cell.source)]
    for path in sorted((root / "book").rglob("*.md")):
        found += LABEL.findall(path.read_text(encoding="utf-8"))
    return found


def test_each_equation_of_the_book_has_one_check_and_each_check_its_equation(root: Path):
    in_book = labels_of_the_book(root)
    assert len(in_book) > 80
    assert sorted(labels()) == sorted(in_book)
    assert len(labels()) == len(set(labels()))


@every_equation
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**31 - 1))
def test_the_forms_agree(label: str, seed: int):
    checked = equation(label).check(n=5, seed=seed)
    assert checked.agrees, str(checked)


# That the forms are independent computations, and each of them what it is called


def lines_of_companion(form: Callable[..., Any], inputs: Mapping[str, Any]) -> set[str]:
    """Functions of companion, lessons left out, that a form runs. To construct an object or read a size is none."""
    found, inside = set(), 0

    def watch(frame: FrameType, event: str, _: Any) -> None:
        nonlocal inside
        code = frame.f_code
        if event in ("call", "return") and code.co_name in NOT_COMPUTING:
            inside += 1 if event == "call" else -1
        elif event == "call" and not inside:
            file = code.co_filename.removeprefix(PACKAGE)
            if file != code.co_filename and not file.startswith("lessons/"):
                found.add(f"{file}: {code.co_qualname}")

    sys.setprofile(watch)
    try:
        form(**inputs)
    finally:
        sys.setprofile(None)
    return found


@pytest.mark.parametrize("label", WITH_COMPANION)
def test_companions_form_runs_a_line_of_companion_that_computes(label: str, in_double):
    assert lines_of_companion(equation(label).companion, in_double(label))


@every_equation
def test_the_other_forms_run_no_line_of_companion(label: str, in_double):
    for form in (equation(label).by_hand, equation(label).library):
        assert lines_of_companion(form, in_double(label)) == set()


def test_to_construct_a_model_of_companion_or_to_read_a_size_of_it_is_not_to_compute():
    model = equation("eq-modern_decoder-cache").draw(torch.Generator())["model"]
    assert lines_of_companion(lambda: (type(model)(model.config), model.config.d_head), {}) == set()


def everything_called(form: FunctionType) -> set[FunctionType]:
    """A form and the functions of ``companion.lessons`` that it calls, directly or not."""
    found, new = set(), [form]
    while new:
        function = new.pop()
        found.add(function)
        named = [function.__globals__.get(name) for name in all_names(function)]
        new += [
            f
            for f in named
            if inspect.isfunction(f) and f.__module__.startswith("companion.lessons") and f not in found
        ]
    return found


def all_names(function: FunctionType) -> set[str]:
    codes, names = [function.__code__], set()
    while codes:
        code = codes.pop()
        names |= set(code.co_names)
        codes += [constant for constant in code.co_consts if inspect.iscode(constant)]
    return names


@every_equation
def test_the_forms_are_different_functions_and_none_calls_another(label: str):
    forms = list(equation(label).forms.values())
    assert all(isinstance(form, FunctionType) and form.__name__ != "<lambda>" for form in forms)
    assert len(set(forms)) == len(forms)
    for form in forms:
        assert everything_called(form) & (set(forms) - {form}) == set()


@every_equation
def test_by_hand_nothing_is_named_of_companion_but_the_parts_made_by_hand(label: str):
    for function in everything_called(equation(label).by_hand):
        for name in all_names(function):
            thing = function.__globals__.get(name)
            module = getattr(thing, "__module__", None) or getattr(thing, "__name__", "")
            assert not module.startswith("companion") or module.startswith("companion.lessons"), name
            assert not module.endswith(("by_torch", "torch.nn.functional")), name


@every_equation
def test_by_hand_no_layer_is_called_and_no_function_of_torch_for_networks(
    label: str, in_double, monkeypatch: pytest.MonkeyPatch
):
    by_hand, inputs = equation(label).by_hand, in_double(label)
    expected = flat(by_hand(**inputs))

    def refuse(*_, **__):
        raise AssertionError("the form by hand calls a library's function for the thing itself")

    monkeypatch.setattr(torch.nn.Module, "__call__", refuse)
    for name in dir(torch.nn.functional):
        if not name.startswith("_") and inspect.isroutine(getattr(torch.nn.functional, name)):
            monkeypatch.setattr(torch.nn.functional, name, refuse)
    for name in ("softmax", "log_softmax", "logsumexp", "sigmoid", "relu"):
        monkeypatch.setattr(torch.Tensor, name, refuse)
    assert torch.equal(flat(by_hand(**inputs)), expected)


def flat(result) -> torch.Tensor:
    parts = result if isinstance(result, tuple | list) else (result,)
    return torch.cat([torch.as_tensor(part).detach().double().flatten() for part in parts])


# That a slip in a form does not go unnoticed

OTHER = {
    **{
        ast.Add: ast.Sub,
        ast.Sub: ast.Add,
        ast.Mult: ast.Add,
        ast.Div: ast.Mult,
        ast.Pow: ast.Mult,
        ast.MatMult: ast.Sub,
    },
    **{ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt},
}


class Slip(ast.NodeTransformer):
    """Put another operation in the place of the n-th one; ``where`` is then the expression that was changed."""

    def __init__(self, number: int):
        self.left = number
        self.where = ""

    def changed(self, operation: ast.AST, node: ast.AST) -> ast.AST:
        if type(operation) not in OTHER:
            return operation
        self.left -= 1
        if self.left != -1:
            return operation
        self.where = ast.unparse(node)
        return OTHER[type(operation)]()

    def visit_BinOp(self, node):
        self.generic_visit(node)
        node.op = self.changed(node.op, node)
        return node

    visit_AugAssign = visit_UnaryOp = visit_BinOp

    def visit_Compare(self, node):
        self.generic_visit(node)
        node.ops = [self.changed(operation, node) for operation in node.ops]
        return node

    def visit_FunctionDef(self, node):
        node.body = [self.visit(line) for line in node.body]  # and not the annotations, whose "|" is no operation
        return node


def mutants(form: FunctionType) -> Iterator[tuple[str, Callable[..., Any]]]:
    """A form with one operation of it, or of a function of its module that it calls, exchanged for another."""
    own = [function for function in everything_called(form) if function.__module__ == form.__module__]
    sources = {function.__name__: textwrap.dedent(inspect.getsource(function)) for function in own}
    for name, source in sources.items():
        for number in itertools.count():
            slip = Slip(number)
            tree = ast.fix_missing_locations(slip.visit(ast.parse(source)))
            if not slip.where:
                break
            space = dict(form.__globals__)
            for code in (*sources.values(), compile(tree, "<mutant>", "exec")):  # the changed one is defined last
                exec(code, space)
            yield f"{name}: {slip.where}", space[form.__name__]


def is_caught(mutant: Callable[..., Any], inputs: Mapping[str, Any], right: Any) -> bool:
    try:
        wrong = mutant(**inputs)
        two = Equation(label="", symbols=(), draw=lambda g: {}, by_hand=lambda: wrong, library=lambda: right)
        return not two.check(n=1)
    except Exception:  # shapes that do not fit, a logarithm of what is not positive
        return True


@pytest.mark.slow
def test_a_slip_of_the_hand_is_caught(in_double):
    """Of all slips together 95 %, and of each equation one. The others change nothing by their nature.

    Such as: a factor that a later division takes out, an index that means the same place counted from the other end,
    one more window than a text has, 2 x 2 in the place of 2 + 2.
    """
    missed, count = [], 0
    for label in labels():
        by_hand = equation(label).by_hand
        generator = torch.Generator().manual_seed(0)
        cases = [equation(label).draw(generator) for _ in range(3)]
        right = [by_hand(**inputs) for inputs in cases]
        slips = [
            (where, any(is_caught(mutant, inputs, result) for inputs, result in zip(cases, right, strict=True)))
            for where, mutant in mutants(by_hand)
        ]
        assert any(caught for _, caught in slips), label
        assert not any(map(is_caught, [by_hand] * 3, cases, right)), f"{label}: a mutant has changed the inputs"
        missed += [f"{label}, {where}" for where, caught in slips if not caught]
        count += len(slips)
    assert count > 1000
    assert len(missed) <= 0.05 * count, "\n".join(missed)


@every_form
def test_a_small_error_in_any_form_is_caught(label: str, name: str):
    one = equation(label)
    exact = one.forms[name]
    field = {"by hand": "by_hand", "companion": "companion"}.get(name, "library")

    def off(**inputs):
        result = exact(**inputs)
        parts = list(result) if isinstance(result, tuple | list) else [result]
        return tuple(torch.as_tensor(part).double() + 1e-8 for part in parts)

    assert not dataclasses.replace(one, **{field: off}).check(n=1)


@every_equation
def test_each_symbol_is_explained(label: str):
    symbols = equation(label).symbols
    assert symbols
    assert len({symbol.tex for symbol in symbols}) == len(symbols)
    for symbol in symbols:
        assert symbol.tex
        assert symbol.meaning
        assert "$" not in symbol.tex + symbol.shape
        assert symbol.meaning.count("$") % 2 == 0
        for tex in (symbol.tex, symbol.shape):
            assert tex.count("{") == tex.count("}")
