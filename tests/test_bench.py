"""What is measured in turn is told as ratios, and what could not be measured is named."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "benchmarks"))

import bench  # noqa: E402 - the folder is no package
import viewers  # noqa: E402
from interleaved import OURS, MissingPeerError, compared, peer, spread  # noqa: E402
from viewer_drawing import VIEWERS, LeftOutError  # noqa: E402
from viewer_pages import WRITERS  # noqa: E402


def test_each_program_is_run_once_before_the_clock_and_then_in_turn(monkeypatch):
    order, clock = [], [0.0]
    takes = {OURS: 1.0, "slow": 4.0}

    def working(name):
        def work():
            order.append(name)
            clock[0] += takes[name]

        return lambda: work

    monkeypatch.setattr("time.process_time", lambda: clock[0])
    found = compared({name: working(name) for name in takes}, rounds=2)
    assert order == [OURS, "slow"] * 3
    assert found["ratios"] == {"slow": {"median": 4.0, "lowest": 4.0, "highest": 4.0}}
    assert found["left_out"] == {}


def test_a_peer_that_is_not_installed_is_left_out_and_named():
    def missing():
        return peer("no-such-peer")

    found = compared({OURS: lambda: lambda: None, "other": missing}, rounds=1)
    assert found["left_out"] == {"other": "not installed: pip install no-such-peer"}
    assert found["ratios"] == {}
    with pytest.raises(MissingPeerError):
        peer("no-such-peer")


def test_a_spread_has_the_median_and_both_ends():
    assert spread([3.0, 1.0, 2.0]) == {"median": 2.0, "lowest": 1.0, "highest": 3.0}


def test_what_is_left_out_anywhere_in_a_table_is_told():
    table = {"table": {"training": {"left_out": {"x": "not installed"}}, "left_out": {"book": "not built"}}}
    assert list(bench.left_out(table, "speed")) == ["speed, training, x: not installed", "speed, book: not built"]


def test_a_script_without_its_packages_says_how_to_get_them(monkeypatch):
    monkeypatch.setitem(bench.SCRIPTS, "speed.py", (("no_such_package",), False))
    assert bench.lacking("speed.py") == ["pip install no_such_package"]
    assert bench.lacking("pages.py") == []


def results(subject):
    return json.loads((ROOT / "benchmarks" / "results" / f"{subject}.json").read_text(encoding="utf8"))["table"]


def test_the_tables_of_the_book_compare_the_same_work():
    works = [found for found in results("speed").values() if isinstance(found, dict) and "ratios" in found]
    assert works
    for found in works:
        assert found["ratios"].keys() == found["seconds"].keys() - {OURS}


def test_each_viewer_was_measured_or_is_named_with_the_reason():
    table = results("viewers")
    assert table["code_kB"].keys() | table["left_out"].keys() == VIEWERS.keys() == WRITERS.keys()
    for found in table["tokens"].values():
        assert found["figures"].keys() | found["left_out"].keys() == table["code_kB"].keys()
        assert found["ratios"].keys() == found["figures"].keys() - {OURS}
        for figures in found["figures"].values():
            assert figures.keys() == found["figures"][OURS].keys()


def test_a_viewer_that_does_not_get_through_is_left_out_with_the_reason(monkeypatch):
    takes = {OURS: [1.0, 2.0], "slow": [4.0, 6.0], "stuck": []}

    def measured(name, tokens, folder, limits):
        if not takes[name]:
            raise LeftOutError("no picture")
        return {"draw_ms": takes[name].pop(0), "requests": 0.0}

    monkeypatch.setattr(viewers, "measured", measured)
    found = viewers.of_size(32, takes, rounds=2, limits=(1.0, 1))
    assert found["left_out"] == {"stuck": "no picture"}
    assert found["figures"].keys() == {OURS, "slow"}
    assert found["ratios"] == {"slow": {"draw_ms": {"median": 3.5, "lowest": 3.0, "highest": 4.0}}}


def test_what_our_page_takes_too_much_of_is_named():
    def page(**figures):
        return {"32": {"figures": {OURS: {name: {"median": value} for name, value in figures.items()}}}}

    within = dict.fromkeys(viewers.LIMITS, 0.0)
    assert viewers.missed({OURS: 40}, page(**within)) == []
    assert viewers.missed({OURS: 41}, page(**within | {"MB": 0.3})) == [
        "MB with 32 tokens: 0.3, not 0.2",
        "code: 41 kB, not 40",
    ]
