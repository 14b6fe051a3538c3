"""Open a page of attention in Chromium: what it asks of other hosts, when its picture is there, how fast it answers.

One criterion for all viewers: a picture is there when all elements that it consists of are, and two frames have passed,
so that they have been painted. From a gesture to the picture it asks for the same is waited for; the least is two
frames, 33 ms.
"""

import functools
import re
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

import psutil
from interleaved import OURS
from playwright.sync_api import Error, Page, Route

sys.path.append(str(Path(__file__).resolve().parents[1] / "tools"))
from chromium import chromium

LAYER, TOKEN = 5, 5  # that a reader turns to; attnview shows the tokens next to the first
# What pages ask of other hosts -> an npm package and the file in it that is the same. npm has RequireJS as it was
# written only, three times as large, and the jQuery after the one that is asked for.
LIBRARIES = {
    "/require.js/2.3.6/require.min.js": ("requirejs@2.3.6", "require.js"),
    "/jquery/2.0.0/jquery.min.js": ("jquery@2.1.0", "dist/jquery.min.js"),
    "/d3/5.7.0/d3.min.js": ("d3@5.7.0", "dist/d3.min.js"),
}
MODULE = "/circuitsvis@"  # npm has no circuitsvis; the package from PyPI brings the same code as a script


class LeftOutError(Exception):
    """A viewer does not get as far as a picture; the message says why."""


@dataclass(frozen=True)
class Viewer:
    """What is done with the page of a viewer; code is JavaScript, in which n is the number of tokens.

    Attributes:
        peer: its distribution on PyPI.
        drawn: an expression, whether its first picture is complete.
        layer: a statement that asks for another layer, once the first picture is there.
        layer_by: the gesture that this is, in words.
        layer_drawn: an expression, whether the other layer is shown.
        look: a statement that looks at a token of that layer.
        look_by: the gesture that this is, in words.
        look_drawn: an expression, whether what belongs to the token is shown.
        libraries: what the page asks other hosts for, by the end of the address.
    """

    peer: str
    drawn: str
    layer: str
    layer_by: str
    layer_drawn: str
    look: str
    look_by: str
    look_drawn: str
    libraries: tuple[str, ...] = ()


def _chosen(select: str) -> str:
    return f"const list = $('{select}'); list.value = {LAYER}; list.dispatchEvent(new Event('change'));"


def _over(element: str, kind: str = "MouseEvent", event: str = "mouseover", more: str = "") -> str:
    return f"({element}).dispatchEvent(new {kind}('{event}', {{ bubbles: true, {more} }}));"


LISTED, HOVER, CLICK = "a choice in the list of layers", "the pointer over a token", "a click on a token"
VIEWERS = {
    OURS: Viewer(
        peer="",
        drawn="$('.ca-stage canvas')?.getAttribute('aria-label')",
        layer=_chosen(".ca select[id$=-layer]"),
        layer_by=LISTED,
        layer_drawn=f"$('.ca-stage canvas').getAttribute('aria-label').includes('layer {LAYER},')",
        look=_over(f"$$('.ca-token')[{TOKEN}]", "PointerEvent", "pointerover"),
        look_by=HOVER,
        look_drawn=f"$('.ca-stage canvas').getAttribute('aria-label').includes(': token{TOKEN} to')",
    ),
    "bertviz head view": Viewer(
        peer="bertviz",
        drawn="tags('line') === 12 * n * n",
        layer=f"was = $('#vis svg'); {_chosen('#layer')}",
        layer_by=LISTED,
        layer_drawn="!was.isConnected && tags('line') === 12 * n * n",
        look=_over(f"$$('#left text')[{TOKEN}]"),
        look_by=HOVER,
        look_drawn=f"$$('#left .background')[{TOKEN}].style.opacity === '1'",
        libraries=tuple(LIBRARIES),
    ),
    "bertviz model view": Viewer(
        peer="bertviz",
        drawn="tags('line') === 144 * n * n",
        layer=_over(f"$('#attn_background_{LAYER}_0').parentNode.lastChild", event="click"),
        layer_by="a click on a head of the layer",
        layer_drawn=f"$('text.detail')?.textContent === 'Layer {LAYER}, Head 0' && tags('line') === 145 * n * n",
        look=_over(f"$$('g.detail text')[{TOKEN}]"),
        look_by=HOVER,
        look_drawn="$('.attn-line-group').style.opacity === '0'",
        libraries=tuple(LIBRARIES),
    ),
    "inspectus": Viewer(
        peer="inspectus",
        drawn="tags('rect') === n * n && $('.matrix rect:last-child').style.fill",
        layer=f"was = $('rect title').textContent; $$('.dimension-values')[0].children[{LAYER + 1}].click();",
        layer_by="a click on the layer",
        layer_drawn="$('rect title').textContent !== was",
        look=f"$('.src-tokens').children[{TOKEN + 1}].click();",
        look_by=CLICK,
        look_drawn="$('.src_labels .label').style.opacity === '0.6'",
    ),
    "circuitsvis": Viewer(
        peer="circuitsvis",
        drawn="tags('canvas') === 145 && painted($$('canvas')[144])",
        layer=f"$$('h4')[{12 * LAYER}].click();",
        layer_by="a click on a head of the layer",
        layer_drawn=f"$('h2').textContent === 'Head {12 * LAYER}' && painted($$('canvas')[144])",
        look=_over(f"$$('h4')[{12 * LAYER + TOKEN}]"),
        look_by="the pointer over a head",
        look_drawn=f"$('h2').textContent === 'Head {12 * LAYER + TOKEN}' && painted($$('canvas')[144])",
        libraries=(MODULE,),
    ),
    "attnview": Viewer(
        peer="attnview",
        drawn="$$('#weights tr').length === n",
        layer=_chosen("#layer"),
        layer_by=LISTED,
        layer_drawn=f"$('#meta').textContent.startsWith('Layer {LAYER} ') && $$('#weights tr').length === n",
        look=f"$$('#tokens .token')[{TOKEN}].click();",
        look_by=CLICK,
        look_drawn=f"$('#question').textContent.includes('token{TOKEN}') && $$('#weights tr').length === n",
    ),
}

# The names that the code above uses, and a promise of the milliseconds from navigation to the first picture.
WATCH = """(() => {
const n = %(tokens)s;
let was;
const $ = (which) => document.querySelector(which), $$ = (which) => document.querySelectorAll(which);
const tags = (name) => document.getElementsByTagName(name).length;
const painted = (canvas) => canvas.getContext("2d").getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data[3] > 0;
const frame = () => new Promise(requestAnimationFrame);
const picture = async (isThere) => {
  while (!isThere()) await frame();
  await frame();
  await frame();
  return performance.now();
};
const after = async (gesture, isThere) => {
  await frame();
  const start = performance.now();
  gesture();
  return (await picture(isThere)) - start;
};
window.measured = {
  draw: picture(() => %(drawn)s),
  layer: () => after(() => { %(layer)s }, () => %(layer_drawn)s),
  look: () => after(() => { %(look)s }, () => %(look_drawn)s),
};
})()"""


@functools.cache
def library(ending: str) -> bytes:
    """What another host would answer, from npm or from the package of the viewer.

    Raises:
        LeftOutError: when npm does not have it.
    """
    if ending == MODULE:
        script = Path(str(distribution("circuitsvis").locate_file("circuitsvis/dist/cdn/iife.js"))).read_bytes()
        return script + b"\nexport const { render, AttentionHeads } = CircuitsVis;\n"
    package, name = LIBRARIES[ending]
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", package, "--silent", "--pack-destination", folder]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=120)
        except (OSError, subprocess.SubprocessError) as error:
            raise LeftOutError(f"its page needs {package}, which npm did not bring") from error
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as packed:
            found = packed.extractfile(f"package/{name}")
            assert found is not None
            return found.read()


@contextmanager
def guarded(seconds: float, memory: int) -> Iterator[None]:
    """End a browser that takes too long, or one of whose processes takes too much memory.

    Raises:
        LeftOutError: when it did; it says which.
    """
    reasons: list[str] = []
    done = threading.Event()
    late = time.monotonic() + seconds

    def watch() -> None:
        while not reasons and not done.wait(0.5):
            browser = [one for driver in psutil.Process().children() for one in driver.children(recursive=True)]
            if time.monotonic() > late:
                reasons.append(f"no picture, or no answer, within {seconds:.0f} s")
            elif any(_taken(one) > memory for one in browser):
                reasons.append(f"the page takes more than {memory / 2**30:.0f} GB of memory")
            for one in browser if reasons else ():
                with suppress(psutil.NoSuchProcess):
                    one.kill()

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    except Exception as error:
        if reasons:
            raise LeftOutError(reasons[0]) from error
        raise
    finally:
        done.set()
        watching.join()


def _taken(process: psutil.Process) -> int:
    """Bytes of memory of a process; none of one that has ended."""
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def drawn(viewer: Viewer, path: Path, tokens: int, seconds: float, memory: int) -> dict[str, float]:
    """Figures of a page in a browser of its own; see :func:`used`.

    Raises:
        LeftOutError: when the page fails, takes longer than so many seconds, or more than so many bytes of memory.
    """
    answers = {ending: library(ending) for ending in viewer.libraries}
    asked: list[str] = []

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        body = next((body for ending, body in answers.items() if ending in route.request.url), None)
        headers = {"access-control-allow-origin": "*", "content-type": "text/javascript"}
        if body is None:
            route.abort()
        else:
            route.fulfill(body=body, headers=headers)

    with chromium() as browser, guarded(seconds, memory):
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        page.route(re.compile(r"^https?://"), answer)
        try:
            found = used(page, viewer, path, tokens)
        except Error as error:
            raise LeftOutError(f"the page failed: {error.message.splitlines()[0]}") from error
    return {"requests": float(len(asked)), **found}


def used(page: Page, viewer: Viewer, path: Path, tokens: int) -> dict[str, float]:
    """Open a page, turn to another layer, look at a token.

    Returns:
        Milliseconds from navigation to the first picture; of that, MB of the JavaScript heap and elements; then
        milliseconds from each gesture to its picture.
    """
    page.add_init_script(WATCH % {"tokens": tokens, **vars(viewer)})
    page.goto(path.as_uri(), wait_until="commit", timeout=0)
    found = {"draw_ms": page.evaluate("measured.draw")}
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    heap = session.send("Runtime.getHeapUsage")
    found["heap_MB"] = (heap["usedSize"] + heap.get("backingStorageSize", 0)) / 1e6
    found["nodes"] = page.evaluate("document.getElementsByTagName('*').length")
    found["layer_ms"] = page.evaluate("measured.layer()")
    found["look_ms"] = page.evaluate("measured.look()")
    return found


def chromium_version() -> str:
    """Version of the browser that draws."""
    with chromium() as browser:
        return browser.version
