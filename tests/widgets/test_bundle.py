"""Front-end modules become one file without a tool beside Python."""

import graphlib
import gzip
import json
import re
from pathlib import Path

import pytest
from node import run_node

from companion.widgets import bundle, minified
from companion.widgets.attention_view import FRONT_END
from companion.widgets.browser import SCRIPTS

NUMBERS = """// Numbers.

/**
 * @param {number} x
 */
export const double = (x) => 2 * x;
export class Counter {
  count = 0;
}
"""
VIEW = """import { Counter, double } from "./numbers.js";

/** @import { Model } from "./types" */

export function render() {
  return double(21) + new Counter().count;
}

export default { render };
"""

PAGES = sorted((SCRIPTS / "pages").glob("*.js"))
PARTS = sorted((SCRIPTS / "parts").glob("*.js"))
BOOK, OF_BOOK = bundle.with_parts(SCRIPTS / "book.js", PARTS)


@pytest.fixture
def write(tmp_path: Path):
    """Write modules, name -> source, and return the path of the first."""

    def write_all(**sources: str) -> Path:
        for name, source in sources.items():
            (tmp_path / f"{name}.js").write_text(source, encoding="utf-8")
        return tmp_path / f"{next(iter(sources))}.js"

    return write_all


def test_a_module_holds_what_it_imports_before_itself_and_exports_its_default_alone(write):
    code = bundle.module(write(view=VIEW, numbers=NUMBERS))
    assert "import" not in code
    assert code.index("const double") < code.index("function render")
    assert code.count("export") == 1
    assert code.endswith("export default { render };\n")


def test_a_neighbour_that_two_import_is_there_once(write):
    left = 'import { double } from "./numbers.js";\nexport const four = double(2);\n'
    entry = 'import { four } from "./left.js";\nimport { double } from "./numbers.js";\nconsole.log(double(four));\n'
    assert bundle.script(write(entry=entry, left=left, numbers=NUMBERS)).count("const double") == 1


def test_types_and_other_comments_stay_in_the_source(write):
    code = bundle.module(write(view=VIEW, numbers=NUMBERS))
    assert "@" not in code
    assert "Numbers" not in code


def test_an_import_over_several_lines_is_one(write):
    entry = 'import {\n  Counter,\n  double,\n} from "./numbers.js";\nconsole.log(double(new Counter().count));\n'
    assert "import" not in bundle.script(write(entry=entry, numbers=NUMBERS))


def test_a_script_keeps_its_names_to_itself_and_exports_nothing(write):
    code = bundle.script(write(view=VIEW, numbers=NUMBERS))
    assert code.startswith("(() => {")
    assert code.rstrip().endswith("})();")
    assert "export" not in code


@pytest.mark.parametrize(
    "line",
    [
        'import view from "./numbers.js";',
        'import * as numbers from "./numbers.js";',
        'import { double as twice } from "./numbers.js";',
        'import "./numbers.js";',
        'import { double } from "numbers";',
        'import { double } from "./numbers.js"',
        "export { double };",
        'export * from "./numbers.js";',
        "export let count = 0;",
        "const { double } = numbers;",
    ],
)
def test_another_form_is_refused_as_it_is_written(write, line):
    with pytest.raises(ValueError, match="entry.js: .* is in no form that this module joins") as error:
        bundle.script(write(entry=f"{line}\n", numbers=NUMBERS))
    assert repr(line) in str(error.value)


def test_a_dynamic_import_is_left_to_the_browser(write):
    code = 'const load = () => import(address);\nconsole.log(\n  import("./other.mjs"),\n  import.meta.url,\n);\n'
    assert re.sub(r"\s", "", code.removeprefix("const ")) in bundle.module(write(entry=code))


def test_a_name_that_is_not_exported_is_refused(write):
    entry = 'import { double, triple } from "./numbers.js";\n'
    with pytest.raises(ValueError, match=r"entry\.js imports triple, which numbers\.js lacks"):
        bundle.script(write(entry=entry, numbers=NUMBERS))


@pytest.mark.parametrize("again", ["const double = 1;", "function double() {}", "async function double() {}"])
def test_a_name_that_two_files_declare_is_refused(write, again):
    entry = f'import {{ Counter }} from "./numbers.js";\n{again}\nconsole.log(new Counter());\n'
    with pytest.raises(ValueError, match=r"double is declared in numbers\.js and in entry\.js"):
        bundle.script(write(entry=entry, numbers=NUMBERS))


def test_files_that_import_each_other_in_a_circle_are_refused(write):
    left = 'import { two } from "./right.js";\nexport const one = () => two();\n'
    right = 'import { one } from "./left.js";\nexport const two = () => one();\n'
    with pytest.raises(graphlib.CycleError):
        bundle.script(write(left=left, right=right))


def test_a_part_runs_after_its_script_and_takes_from_it_what_both_import(write, tmp_path):
    deep = 'import { double } from "./numbers.js";\nexport const four = double(2);\n'
    part = 'import { Counter, double } from "./numbers.js";\nimport { four } from "./deep.js";\n\n'
    part += "console.log(JSON.stringify([double(four), new Counter().count]));\n"
    view = 'import { double } from "./numbers.js";\n\nconsole.log(double(1));\n'
    entry = write(view=view, numbers=NUMBERS, deep=deep)
    (tmp_path / "part.js").write_text(part, encoding="utf-8")
    script, parts = bundle.with_parts(entry, [tmp_path / "part.js"])
    assert "double=(x)" in script
    assert "double=(x)" not in parts["part.js"]
    assert "four" not in script
    joined = tmp_path / "joined.mjs"
    joined.write_text(f"globalThis.window = globalThis;\n{script}{parts['part.js']}", encoding="utf-8")
    assert run_node(joined).split() == ["2", "[8,0]"]


def test_the_script_of_all_pages_is_small_and_each_widget_has_a_part_or_is_in_it():
    weight = len(gzip.compress(BOOK.encode()))
    assert weight <= 40_000, f"{weight} bytes gzipped"
    assert {path.stem for path in PAGES} == {path.stem for path in PARTS} | {"attention_view"}


@pytest.mark.parametrize(
    "code",
    [
        bundle.module(FRONT_END / "attention_view.js"),
        bundle.module(SCRIPTS / "live_worker.js"),
        BOOK,
        *OF_BOOK.values(),
        *(bundle.script(path) for path in PAGES),
    ],
    ids=["kernel", "worker", "book", *(f"part-{path.stem}" for path in PARTS), *(path.stem for path in PAGES)],
)
def test_what_ships_can_be_parsed_and_stand_in_a_page(code, tmp_path):
    path = tmp_path / "joined.mjs"
    path.write_text(code, encoding="utf-8")
    run_node("--check", path)
    assert "</script" not in code
    assert "<!--" not in code


SPACED = r"""// a comment with "quotes" and a `tick`
const one = "a  b // no comment", two = 'c  /* none */ d'; /* a comment
over lines */
const three = `e  ${one ? `f  ${two}` : ""}  g // h`;
const four = three.replace(/ +\/\/ [/"]/g, (found) => found.length / 2 / 1 + "  ");
const five = 1 - -1 + +two.length, six = typeof five === "number" ? .5 : 1;
function seven() {
  return /e  f/.test(three);
}
class Eight {
  count = 0;
  get next() { // a comment
    return this.count in [0] || new Eight();
  }
}
process.stdout.write(JSON.stringify([one, two, three, four, five, six, seven(), new Eight().next]));
"""


def test_without_comments_and_room_a_script_does_what_it_did(tmp_path):
    found = []
    for name, code in (("before", SPACED), ("after", minified.script(SPACED))):
        path = tmp_path / f"{name}.mjs"
        path.write_text(code, encoding="utf-8")
        found.append(json.loads(run_node(path)))
    assert found[0] == found[1]
    assert "comment over" not in minified.script(SPACED)
    assert len(minified.script(SPACED)) < 0.85 * len(SPACED)


def test_a_style_sheet_keeps_the_room_that_means_something():
    sheet = '.a :focus { margin: 0 1px; } /* a */\n@media (max-width: 9px) {\n  .b::before { content: "x:  y"; }\n}\n'
    assert minified.style(sheet) == '.a :focus{margin:0 1px;}@media (max-width:9px){.b::before{content:"x:  y";}}'
