"""Every numbered equation of the book has a check, and the check means something."""

import ast
import dataclasses
import inspect
import re
import textwrap
from pathlib import Path
from types import FunctionType

import nbformat
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.lessons import Checked, Equation, Symbol, equation, labels

LABEL = re.compile(r"^:label: (eq-[\w-]+)$", re.MULTILINE)
FORMS = ("hand", "ours", "torch")


def labels_of_the_book(root: Path) -> list[str]:
    found = []
    for path in sorted((root / "book").rglob("*.ipynb")):
        if ".ipynb_checkpoints" not in path.parts:
            cells = nbformat.read(path, as_version=4).cells
            found += [label for cell in cells if cell.cell_type == "markdown" for label in LABEL.findall(cell.source)]
    for path in sorted((root / "book").rglob("*.md")):
        found += LABEL.findall(path.read_text(encoding="utf-8"))
    return found


def test_each_equation_of_the_book_has_a_check_and_each_check_its_equation(root: Path):
    in_book = labels_of_the_book(root)
    assert len(in_book) > 80
    assert len(in_book) == len(set(in_book))
    assert set(labels()) == set(in_book)


@pytest.mark.parametrize("label", labels())
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**31 - 1))
def test_hand_companion_and_torch_agree(label: str, seed: int):
    checked = equation(label).check(n=5, seed=seed)
    assert checked.agrees, str(checked)


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


@pytest.mark.parametrize("label", labels())
def test_the_three_forms_are_three_functions_and_none_calls_another(label: str):
    forms = [getattr(equation(label), name) for name in FORMS]
    assert all(isinstance(form, FunctionType) and form.__name__ != "<lambda>" for form in forms)
    assert len(set(forms)) == 3
    for form in forms:
        assert everything_called(form) & (set(forms) - {form}) == set()


@pytest.mark.parametrize("label", labels())
def test_the_hand_names_nothing_of_companion_but_the_parts_made_by_hand(label: str):
    for function in everything_called(equation(label).hand):
        for name in all_names(function):
            thing = function.__globals__.get(name)
            module = getattr(thing, "__module__", None) or getattr(thing, "__name__", "")
            assert not module.startswith("companion") or module.startswith("companion.lessons"), name
            assert not module.endswith(("bytorch", "torch.nn.functional")), name


@pytest.mark.parametrize("label", labels())
def test_the_hand_calls_no_layer_and_no_function_of_torch_for_networks(label: str, monkeypatch: pytest.MonkeyPatch):
    one = equation(label)
    monkeypatch.setattr(torch, "_dtype_before", torch.get_default_dtype(), raising=False)
    torch.set_default_dtype(torch.float64)
    try:
        inputs = one.draw(torch.Generator().manual_seed(0))
        expected = flat(one.hand(**inputs))

        def refuse(*_, **__):
            raise AssertionError("the hand form calls a library's function for the thing itself")

        monkeypatch.setattr(torch.nn.Module, "__call__", refuse)
        for name in dir(torch.nn.functional):
            if not name.startswith("_") and inspect.isroutine(getattr(torch.nn.functional, name)):
                monkeypatch.setattr(torch.nn.functional, name, refuse)
        for name in ("softmax", "log_softmax", "logsumexp", "sigmoid", "relu"):
            monkeypatch.setattr(torch.Tensor, name, refuse)
        again = flat(one.hand(**inputs))
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(again, expected)


def flat(result) -> torch.Tensor:
    parts = result if isinstance(result, tuple | list) else (result,)
    return torch.cat([torch.as_tensor(part).detach().double().flatten() for part in parts])


class Swap(ast.NodeTransformer):
    """Put another operation in the place of the n-th one."""

    OTHER = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.MatMult: ast.Sub}  # noqa: RUF012

    def __init__(self, number: int):
        self.left = number

    def swapped(self, node: ast.BinOp | ast.AugAssign) -> ast.BinOp | ast.AugAssign:
        self.generic_visit(node)
        other = self.OTHER.get(type(node.op))
        if other is not None:
            if self.left == 0:
                node.op = other()
            self.left -= 1
        return node

    visit_BinOp = visit_AugAssign = swapped


def mutants(form: FunctionType) -> list[FunctionType]:
    """The form with each of its operations exchanged for another, one at a time."""
    found = []
    for number in range(40):
        tree = ast.parse(textwrap.dedent(inspect.getsource(form)))
        swap = Swap(number)
        tree = ast.fix_missing_locations(swap.visit(tree))
        if swap.left >= 0:
            return found
        space = dict(form.__globals__)
        exec(compile(tree, "<mutant>", "exec"), space)
        found.append(space[form.__name__])
    return found


def is_caught(one: Equation, hand) -> bool:
    try:
        return not dataclasses.replace(one, hand=hand).check(n=3)
    except Exception:  # shapes that do not fit, a logarithm of what is not positive
        return True


@pytest.mark.parametrize("label", labels())
def test_a_slip_of_the_hand_is_caught(label: str):
    one = equation(label)
    wrong = mutants(one.hand)
    caught = sum(is_caught(one, hand) for hand in wrong)
    assert caught >= len(wrong) / 2  # some change nothing: a factor that a later division takes out


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("label", labels())
def test_a_small_error_in_any_form_is_caught(label: str, form: str):
    one, exact = equation(label), getattr(equation(label), form)

    def off(**inputs):
        result = exact(**inputs)
        parts = list(result) if isinstance(result, tuple | list) else [result]
        return tuple(torch.as_tensor(part).double() + 1e-8 for part in parts)

    assert not dataclasses.replace(one, **{form: off}).check(n=1)


@pytest.mark.parametrize("label", labels())
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


def constant(value: float):
    return lambda: torch.tensor([value])


def made(hand=0.0, ours=0.0, theirs=0.0) -> Equation:
    symbol = Symbol("x_{<t}", "what <b>came</b> before & after", r"n \times d")
    return Equation("eq-test", (symbol,), lambda g: {}, constant(hand), constant(ours), constant(theirs))


@pytest.mark.parametrize("values", [(1.0, 1.5, 1.0), (1.5, 1.0, 1.0), (1.0, 1.0, 1.5)])
def test_the_difference_is_the_largest_between_any_two(values: tuple[float, float, float]):
    checked = made(*values).check()
    assert checked.difference == 0.5
    assert not checked


def test_what_is_not_a_number_does_not_agree():
    assert not made(float("nan"), float("nan"), float("nan")).check()


def test_equal_infinities_agree():
    assert made(float("-inf"), float("-inf"), float("-inf")).check()


def test_another_shape_is_an_error_that_names_both():
    wrong = dataclasses.replace(made(), ours=lambda: torch.zeros(2))
    with pytest.raises(ValueError, match=r"eq-test: hand returns \[\(1,\)\], ours returns \[\(2,\)\]"):
        wrong.check()


def test_a_check_needs_an_input():
    with pytest.raises(ValueError, match="n must be at least 1, and is 0"):
        made().check(n=0)


def test_an_unknown_label_is_an_error_that_names_near_ones():
    with pytest.raises(ValueError, match="'eq-attention-softmx'.*eq-attention-softmax"):
        equation("eq-attention-softmx")


def test_a_check_leaves_the_random_numbers_and_the_default_number_as_they_were():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    equation("eq-gpt-forward").check()
    assert torch.equal(torch.rand(2), expected)
    assert torch.get_default_dtype() == torch.float32


def test_the_same_seed_checks_the_same_inputs():
    assert equation("eq-gpt-forward").check(seed=5) == equation("eq-gpt-forward").check(seed=5)


def test_a_notebook_shows_the_check_and_the_symbols_escaped():
    html = made()._repr_html_()
    assert "✓" in html
    assert "x_{&lt;t}" in html
    assert "&lt;b&gt;came&lt;/b&gt; before &amp; after" in html
    assert "✗" in Checked("eq-test", 1.0, 5)._repr_html_()
