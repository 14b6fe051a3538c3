"""The parity wall: every family, at three shapes or more, in single and double precision, against ``transformers``.

``python tests/test_parity.py`` writes what it measures to ``benchmarks/results/parity.json``, which the book shows: for
each family the worst difference over its shapes, rounded up to a power of ten. A run of the tests writes nothing; it
fails where a difference is more than ten times as large as the table says, or the table lacks a family or a shape.
"""

import importlib
import json
import math
import pkgutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import families
import pytest
import torch
import transformers
from families import Case, Outputs

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results" / "parity.json"
CASES = {
    f"{name}, shape {number}": make
    for module in sorted(found.name for found in pkgutil.iter_modules(families.__path__))
    for name, makers in importlib.import_module(f"families.{module}").CASES.items()
    for number, make in enumerate(makers, start=1)
}
LIMITS = {"scores": 1e-5, "attention": 1e-5, "loss": 1e-6, "gradients": 1e-4}
PRECISIONS = {"float32": torch.float32, "float64": torch.float64}
NOISE = 10  # how far two machines may be apart, as a factor


def error(ours, theirs):
    assert ours.shape == theirs.shape
    return (ours - theirs).abs().max().item()


def worst(ours: list, theirs: list) -> float:
    assert len(ours) == len(theirs) > 0
    return max(map(error, ours, theirs))


def differences(case: Case, ours: Outputs, theirs: Outputs) -> dict[str, float]:
    return {
        "scores": worst(ours.scores, theirs.scores),
        "attention": worst(ours.attention, theirs.attention),
        "loss": error(ours.loss, theirs.loss),
        "gradients": gradient_difference(case, ours, theirs),
    }


def gradient_difference(case: Case, ours: Outputs, theirs: Outputs) -> float:
    ours.loss.backward()
    theirs.loss.backward()
    gradients = {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in case.ours.named_parameters()}
    layout = case.family.layout(case.ours.config)
    found = {case.their_name(layout.full(rule.theirs)): rule.join(gradients) for rule in layout.rules}
    expected = {name: p.grad for name, p in case.theirs.named_parameters() if p.grad is not None}
    expected = case.as_in_the_file(expected)
    assert set(expected) - set(found) <= case.skipped
    return max(error(found[name], gradient) for name, gradient in expected.items() if name not in case.skipped)


def measured(name: str, dtype: torch.dtype, folder: Path) -> dict[str, float]:
    case = CASES[name](folder)
    case.ours.to(dtype)
    case.theirs.to(dtype)
    return differences(case, case.run_ours(case.ours), case.run_theirs(case.theirs))


def family_of(name: str) -> str:
    return name.rpartition(", shape ")[0]


def table_of_the_book() -> dict[str, Any]:
    return json.loads(RESULTS.read_text(encoding="utf8"))["families"]


def write_table() -> None:
    """Measure the whole wall, and write the table that the book shows."""
    table = {}
    for name in CASES:
        entry = table.setdefault(
            family_of(name), {"shapes": 0} | {kind: dict.fromkeys(LIMITS, 0.0) for kind in PRECISIONS}
        )
        entry["shapes"] += 1
        for precision, dtype in PRECISIONS.items():
            with tempfile.TemporaryDirectory() as folder:
                found = measured(name, dtype, Path(folder))
            for what, value in found.items():
                entry[precision][what] = max(entry[precision][what], value and 10.0 ** math.ceil(math.log10(value)))
    content = {
        "command": "python tests/test_parity.py",
        "versions": {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__},
        "unit": "largest absolute difference, rounded up to a power of ten",
        "families": table,
    }
    RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf8")


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", CASES)
def test_the_same_weights_say_the_same(name, precision, tmp_path):
    found = measured(name, PRECISIONS[precision], tmp_path)
    assert {what: value for what, value in found.items() if not value <= LIMITS[what]} == {}
    row, least = table_of_the_book()[family_of(name)][precision], 10 * torch.finfo(PRECISIONS[precision]).eps
    worse = {what: value for what, value in found.items() if value > NOISE * max(row[what], least)}
    assert worse == {}, "the book's table says less: python tests/test_parity.py writes it anew"


def test_the_table_of_the_book_has_each_family_with_all_its_shapes():
    assert {family: row["shapes"] for family, row in table_of_the_book().items()} == Counter(map(family_of, CASES))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_transformers_loads_what_we_save(name, tmp_path):
    case = CASES[name](tmp_path / "theirs")
    case.ours.save_pretrained(tmp_path / "ours")
    again, report = type(case.theirs).from_pretrained(
        tmp_path / "ours", output_loading_info=True, attn_implementation="eager"
    )
    assert not any(report.values())
    before, after = case.run_theirs(case.theirs), case.run_theirs(again.eval())
    assert worst(before.scores, after.scores) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_what_is_saved_in_shards_is_loaded_again(name, tmp_path):
    case = CASES[name](tmp_path / "theirs")
    case.ours.save_pretrained(tmp_path / "ours", shard_bytes=4000)
    assert len(list((tmp_path / "ours").glob("*.safetensors"))) > 1
    again = type(case.ours).from_pretrained(tmp_path / "ours")
    assert again.config == case.ours.config
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), case.ours.parameters(), strict=True))


if __name__ == "__main__":
    write_table()
