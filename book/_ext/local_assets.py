"""Fonts of the pages, made small: text, code, mathematics and icons, with the letters that the book has and no others.

The first three come with npm, and are under the SIL Open Font License; the icons are those of Font Awesome that come with
the theme. The theme would load a script with all two thousand of them, 1.4 MB, for the dozen that a page shows; here
its style is cut to these, and its script left out (``book/_templates``). Chinese is set in what the reader's system has.
"""

import json
import re
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pydata_sphinx_theme
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from mathematics import node

MAKER = Path(__file__).with_name("subset_fonts.mjs")
THEME = Path(pydata_sphinx_theme.__file__).parent / "theme" / "pydata_sphinx_theme" / "static"
STYLE = Path("styles", "pydata-sphinx-theme.css")
ICON_FONTS = Path("vendor", "fontawesome")
ICONS = frozenset(
    [
        "angle-left",
        "angle-right",
        "arrow-up",
        "arrow-up-right-from-square",
        "bars",
        "chevron-down",
        "circle-half-stroke",
        "code",
        "download",
        "file",
        "file-pdf",
        "github",
        "lightbulb",
        "list",
        "magnifying-glass",
        "magnifying-glass-minus",
        "moon",
        "rocket",
        "sun",
        "xmark",
    ]
)
LAYOUT = frozenset({"lg"})  # classes of Font Awesome that are no icons, and are in use


def letters(*ranges: str) -> str:
    """The characters of ranges such as ``az``, from the first to the last, each with both its ends."""
    return "".join(chr(code) for ends in ranges for code in range(ord(ends[0]), ord(ends[1]) + 1))


LATIN = letters(" ~", "\u00a0ÿ") + "ıŒœŠšŽžāēīōūǎěǐǒǔǚ–—‘’‚“”„•…′″€™−←↑→↓√∞≈≠≤≥"
CODE = letters(" ~", "\u00a0ÿ", "─╿", "▉▏") + "–—‘’“”…−←↑→↓√∞≈≠≤≥✓✗␣⟨⟩█⁰¹²³⁴⁵⁶⁷⁸⁹⁻"
FORMULAS = (
    letters(" ~", "Αϖ", "𝐴𝑧", "𝒜𝒵", "𝛢𝜛")
    + "¬±·×÷ıȷˆ˜ˉ˙\u0302\u0303\u0304\u0338\u20d7‖…′‾\u2061\u2062\u2063ℎℒℓℝℰℱℋℐℳℛℬ𝔼𝟙"
    + "←↑→↓↔↦⇒⇔⟶⟹⟺∂∇∈∉∋∏∑−∗∘√∝∞∧∨∩∪∫∼≈≠≡≤≥≪≫⊂⊆⊕⊗⊙⊤⊥⋅⋆⋮⋯⋱⌈⌉⌊⌋⏞⏟⟨⟩"
)


class Font(NamedTuple):
    """A font of npm: its file, the characters that are kept, and the settings of `subset-font`."""

    source: str
    text: str
    options: dict[str, Any]


SOURCE = "@fontsource{}/files/{}-latin-{}.woff2"
FONTS = {
    "text": Font(
        SOURCE.format("-variable/source-serif-4", "source-serif-4", "wght-normal"),
        LATIN,
        {"variationAxes": {"wght": {"min": 400, "max": 700}}},
    ),
    "text-italic": Font(
        SOURCE.format("-variable/source-serif-4", "source-serif-4", "wght-italic"),
        LATIN,
        {"variationAxes": {"wght": 400}},
    ),
    "sans": Font(
        SOURCE.format("-variable/source-sans-3", "source-sans-3", "wght-normal"),
        LATIN,
        {"variationAxes": {"wght": {"min": 400, "max": 700}}},
    ),
    "code": Font(  # without its ligatures: `!=` are two characters
        SOURCE.format("-variable/jetbrains-mono", "jetbrains-mono", "wght-normal"),
        CODE,
        {"variationAxes": {"wght": 400}, "keepFeatures": []},
    ),
    "formulas": Font(
        SOURCE.format("/stix-two-math", "stix-two-math", "400-normal"),
        FORMULAS,
        {"keepFeatures": ["ssty", "dtls", "flac"]},
    ),
}
RULE = re.compile(r"(?<=[{};/])([^{}@]*)\{([^{}]*)\}")
ICON = re.compile(r"\.fa-([a-z0-9-]+)")


def code_points(style: str) -> dict[str, str]:
    """The character of each icon in a style of Font Awesome, by the icon's name."""
    found: dict[str, str] = {}
    for names, content in RULE.findall(style):
        character = re.fullmatch(r'content:"(?:\\([0-9a-f]+)|(.))"', content)
        if character and ".fa-" in names:
            point = chr(int(character[1], 16)) if character[1] else character[2]
            found |= dict.fromkeys(re.findall(r"\.fa-([a-z0-9-]+):+before", names), point)
    return found


def without_icons(style: str) -> str:
    """Style without its rules for icons and for looks of icons that no page has, and without their fonts."""

    def kept(rule: re.Match[str]) -> str:
        selectors = [one for one in rule[1].split(",") if set(ICON.findall(one)) <= ICONS | LAYOUT | FAMILIES]
        return f"{','.join(selectors)}{{{rule[2]}}}" if selectors else ""

    style = re.sub(r"@font-face\{[^{}]*fontawesome[^{}]*\}", "", style)
    return RULE.sub(kept, style)


FAMILIES = frozenset({"solid", "brands", "classic", "regular", "sharp"})


def make_fonts(app: Sphinx) -> None:
    """Write the fonts to `_static/fonts`, where they are not there as they should be.

    Raises:
        ExtensionError: when npm has not brought what they are made of.
    """
    if app.builder.format != "html":
        return
    modules, target = Path(app.srcdir) / "node_modules", Path(app.outdir) / "_static" / "fonts"
    points = code_points((THEME / STYLE).read_text(encoding="utf-8"))
    icons = "".join(sorted(points[name] for name in ICONS))
    fonts = {name: (modules / font.source, font) for name, font in FONTS.items()}
    for name, file in (("icons", "fa-solid-900.ttf"), ("brands", "fa-brands-400.ttf")):
        fonts[name] = THEME / ICON_FONTS / "webfonts" / file, Font(file, icons, {})
    for source, _ in fonts.values():
        if not source.exists():
            raise ExtensionError(f"{source} is missing: run `make assets` (or `npm ci --ignore-scripts`)")
    wanted = json.dumps({name: font for name, (_, font) in fonts.items()})
    made = target / "made.json"
    if made.exists() and made.read_text(encoding="utf-8") == wanted:
        return
    target.mkdir(parents=True, exist_ok=True)
    tasks = [
        {"from": str(source), "to": str(target / f"{name}.woff2"), "text": font.text, "options": font.options}
        for name, (source, font) in fonts.items()
    ]
    done = subprocess.run([node(), str(MAKER)], input=json.dumps(tasks), text=True, capture_output=True, check=False)
    if done.returncode:
        raise ExtensionError(f"the fonts could not be made: {done.stderr.strip()}")
    made.write_text(wanted, encoding="utf-8")


def lighten(app: Sphinx, error: Exception | None) -> None:
    """Cut the theme's style to the icons of the pages, and remove what is then not asked for."""
    if error is not None or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    style = static / STYLE
    if not style.exists():  # another theme
        return
    style.write_text(without_icons(style.read_text(encoding="utf-8")), encoding="utf-8")
    for unused in ("scripts/fontawesome.*", "**/*.map", f"{ICON_FONTS}/webfonts/*"):
        for path in list(static.glob(unused)):
            path.unlink()


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.connect("builder-inited", make_fonts)
    app.connect("build-finished", lighten)
    app.add_css_file("fonts.css", priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
