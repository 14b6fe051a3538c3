"""The parity wall: every family, at three shapes or more, in single and double precision, against ``transformers``.

What it measures is written to ``benchmarks/results/parity.json``, which the book shows: for each family the worst
difference over its shapes, rounded up to a power of ten, so that the file does not change from machine to machine.
"""

import importlib
import json
import math
import pkgutil
from pathlib import Path

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
measured: dict[str, dict[str, float]] = {}


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


@pytest.fixture(scope="module", autouse=True)
def table():
    """Write what was measured, if the whole wall was."""
    yield
    if len(measured) < 2 * len(CASES):
        return
    families_ = {}
    for label, found in measured.items():
        name, precision = label.split(", shape ")[0], label.rpartition(" ")[2]
        entry = families_.setdefault(name, {"shapes": 0}).setdefault(precision, dict.fromkeys(found, 0.0))
        families_[name]["shapes"] += precision == "float32"
        for what, value in found.items():
            entry[what] = max(entry[what], value and 10.0 ** math.ceil(math.log10(value)))
    content = {
        "command": "pytest tests/test_parity.py",
        "versions": {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__},
        "unit": "largest absolute difference, rounded up to a power of ten",
        "families": families_,
    }
    text = json.dumps(content, indent=1) + "\n"
    if not RESULTS.exists() or RESULTS.read_text() != text:
        RESULTS.write_text(text)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_the_same_weights_say_the_same(name, dtype, tmp_path):
    case = CASES[name](tmp_path)
    case.ours.to(dtype)
    case.theirs.to(dtype)
    found = differences(case, case.run_ours(case.ours), case.run_theirs(case.theirs))
    measured[f"{name} {str(dtype).removeprefix('torch.')}"] = found
    assert {what: value for what, value in found.items() if not value <= LIMITS[what]} == {}


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


@pytest.mark.parametrize("name", CASES)
def test_what_is_saved_in_shards_is_loaded_again(name, tmp_path):
    case = CASES[name](tmp_path / "theirs")
    case.ours.save_pretrained(tmp_path / "ours", shard_bytes=4000)
    assert len(list((tmp_path / "ours").glob("*.safetensors"))) > 1
    again = type(case.ours).from_pretrained(tmp_path / "ours")
    assert again.config == case.ours.config
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), case.ours.parameters(), strict=True))
