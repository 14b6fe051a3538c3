"""From each chapter a notebook that reads as well as the page, in front ends that know no MyST.

They are made while the pages are written, out of the same nodes, and lie in ``notebooks`` beside the pages: without
outputs for Colab, and under ``with-outputs`` for front ends that only show. Code is the source's, text is that of the
page (:mod:`plain_markdown`), cut where a heading, a numbered equation or a figure begins.

Links lead to the pages of the book, from a notebook that is to be run all of them: no link within one works in every
front end, since Colab finds cells alone (``#scrollTo=`` and an id), and the classic notebook headings alone, by their
text. In notebooks with outputs, which Colab does not open, a link to a place in them leads to the heading of its section.
(VS Code names headings in its own way, and finds there an anchor whose name is what the link says, letter by letter.)
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urljoin

import nbformat
from docutils import nodes
from nbformat import NotebookNode
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinxcontrib.bibtex.transforms import node_text_transform

from executed_chapters import page_shown
from page_cells import cell_of
from plain_markdown import LEFT_OUT, Unwritable, Writer
from still_widgets import state_of, svg, without_script, words
from words import word

FOLDER, WITH_OUTPUTS = "notebooks", "with-outputs"  # beside the pages
PAGE, REFERENCES = "This chapter as a page", "References"
WORDS = (PAGE, REFERENCES)
ID = 64  # characters of the longest id that a cell may have
WIDGET = "application/vnd.jupyter.widget-view+json"
README = """\
# Notebooks of {title}

Made from the chapters of [the book]({repository}), which is the place to change them. Those in `{folder}` show what
the cells printed and drew, in JupyterLab once `jupyter trust` has named them; links within them lead to headings, which
every Jupyter finds. The others are to be run, in Colab or elsewhere; links within them lead to cells, as Colab's do. (The
classic notebook finds headings only.)
"""

logger = logging.getLogger(__name__)


class Part(NamedTuple):
    """A cell of text: the place in the source of the cell that it is from, its id, what stands in it, all its anchors."""

    source: int
    id: str
    blocks: list[nodes.Node]
    anchors: list[str]


def make(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Write both notebooks of a chapter whose page is about to be written."""
    if app.builder.name != "html" or Path(app.env.doc2path(docname)).suffix != ".ipynb":
        return
    shown = page_shown(app, docname)
    if shown is None:  # its run failed, and so does the build
        return
    for folder, keep in ((FOLDER, False), (f"{FOLDER}/{WITH_OUTPUTS}", True)):
        try:
            cells = Chapter(app, doctree, docname, within=keep).cells(shown)
        except Unwritable as error:
            logger.warning("%s", error, location=docname, type="plain_notebooks")
            return
        notebook = nbformat.v4.new_notebook(cells=[finished(cell, keep) for cell in cells])
        notebook.metadata = {name: shown.metadata[name] for name in ("kernelspec", "language_info")}
        path = Path(app.outdir).parent / folder / f"{docname}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{nbformat.writes(notebook)}\n", encoding="utf-8")


class Chapter:
    """A chapter on its way from the nodes of its page to the cells of a notebook."""

    def __init__(self, app: Sphinx, doctree: nodes.document, docname: str, within: bool) -> None:
        """Begin with the nodes of a page that is about to be written, and with whether links may lead within it."""
        self.app, self.docname, self.within = app, docname, within
        self.pages = pages_address(app.config.html_theme_options["repository_url"])
        self.page = self.address(docname)
        self.doctree = doctree
        self.linked: set[str] = set()  # the headings that something in the notebook leads to
        self.local: dict[str, str] = {}  # the heading above the place of each address that is in the notebook
        self.numbers = numbers(app.env, docname, doctree)
        self.writer = Writer(self.numbers, self.link, self.image)
        self.headings = Counter(map(self.heading, doctree.findall(nodes.title)))

    def address(self, docname: str) -> str:
        """Return the public address of a page."""
        return urljoin(self.pages, self.app.builder.get_target_uri(docname))

    def link(self, node: nodes.Element) -> str:
        """Return where a reference leads: to a place in this notebook, to a page of the book, or out of it."""
        address = urljoin(self.page, str(node.get("refuri", f"#{node.get('refid')}")))
        if address not in self.local:
            return address
        self.linked.add(self.local[address])
        return f"#{self.local[address]}"

    def image(self, node: nodes.Element) -> str:
        """Return the public address of a picture."""
        _, name = self.app.env.images[node["uri"]]
        return urljoin(self.pages, f"{self.app.builder.imagedir}/{name}")

    def cells(self, shown: NotebookNode) -> list[NotebookNode]:
        """Return the cells of the notebook, with the outputs that the page shows."""
        parts = list(divided(self.doctree, [cell.id for cell in shown.cells]))
        entries = cited(self.app.env, self.docname)
        if self.within:
            self.local = {f"{self.page}#{anchor}": self.anchor(part) for part in parts for anchor in part.anchors}
            end = quote(word(REFERENCES))
            self.local |= {f"{self.address(page)}#{anchor}": end for page, anchor, _ in entries}
        texts = [self.writer.blocks(part.blocks) for part in parts]
        texts[0] += f"\n\n[{word(PAGE)}]({self.page})"
        written: dict[int, list[NotebookNode]] = {}
        for part, text in zip(parts, texts, strict=True):
            written.setdefault(part.source, []).append(self.text_cell(part.id, text, self.anchor(part)))
        cells = []
        for place, cell in enumerate(shown.cells):
            cells += [cell] if cell.cell_type == "code" else []
            cells += written.get(place, [])
        return [*cells, *([self.references([entry for *_, entry in entries])] if entries else [])]

    def anchor(self, part: Part) -> str:
        """Return the name of the place to which links to a part lead, as an address spells it."""
        return quote(self.heading_above(part.blocks[0]))

    def heading_above(self, node: nodes.Node) -> str:
        """Return the name of the nearest heading above a node that no other heading has.

        One with mathematics does not count: JupyterLab names it in another way than the classic notebook.
        """
        around: list[nodes.title] = []
        while (node := node.parent) is not None:
            around += [node[0]] if isinstance(node, nodes.section) else []
        plain = (title for title in around if not title.next_node(nodes.math))
        return next((name for name in map(self.heading, plain) if self.headings[name] == 1), self.heading(around[-1]))

    def heading(self, title: nodes.title) -> str:
        """Return the name that Jupyter gives a heading: its text, with ``-`` for spaces."""
        number = self.numbers.get(title.parent["ids"][0], "") if isinstance(title.parent, nodes.section) else ""
        return f"{number}{title.astext()}".replace(" ", "-")

    def text_cell(self, name: str, text: str, anchor: str) -> NotebookNode:
        """Return a cell of text; a heading that something leads to has an anchor at its end."""
        if anchor in self.linked and text.startswith("#"):
            first, end, rest = text.partition("\n")
            text = f'{first}<a id="{anchor}"></a>{end}{rest}'
        return NotebookNode(nbformat.v4.new_markdown_cell(text, id=name))

    def references(self, entries: list[nodes.Element]) -> NotebookNode:
        """Return the cell that lists the works cited."""
        lines = "\n".join(f"- {self.writer.block(entry)}" for entry in entries)
        title = word(REFERENCES)
        return self.text_cell(REFERENCES.lower(), f"## {title}\n\n{lines}", quote(title))


def pages_address(repository: str) -> str:
    """Return the address at which GitHub serves the pages of a repository."""
    owner, name = repository.removeprefix("https://github.com/").split("/")
    return f"https://{owner.lower()}.github.io/{name}/"


def numbers(env: BuildEnvironment, docname: str, doctree: nodes.document) -> dict[str, str]:
    """Return the number of each heading and equation, and the name and number of each figure, by their anchors."""
    headings = env.toc_secnumbers.get(docname, {})
    top = next(doctree.findall(nodes.section))["ids"][0]
    found = env.toc_fignumbers.get(docname, {}) | {
        "section": {anchor.removeprefix("#") or top: number for anchor, number in headings.items() if number}
    }
    forms = {"displaymath": "%s", "figure": env.config.numfig_format["figure"], "section": "%s. "}
    return {
        anchor: form % ".".join(map(str, number))
        for kind, form in forms.items()
        for anchor, number in found.get(kind, {}).items()
    }


def cited(env: BuildEnvironment, docname: str) -> list[tuple[str, str, nodes.Element]]:
    """Return each work that a page cites: the page and the anchor of its entry, and the entry itself."""
    domain: Any = env.get_domain("cite")
    keys = {target.key for ref in domain.citation_refs if ref.docname == docname for target in ref.targets}
    found = []
    for one in domain.citations:
        if one.key in keys:
            entry = domain.backend.paragraph(one.formatted_entry)
            node_text_transform(entry)
            found.append((one.bibliography_key.docname, one.citation_id, entry))
    return found


def divided(doctree: nodes.document, ids: list[str]) -> Iterator[Part]:
    """Yield the cells of text, given the ids of the source's cells.

    A cell begins where one of the source does, and at each heading, numbered equation and figure; the caption of a
    figure that code draws is a cell by itself.
    """
    part: Part | None = None
    for block in top_level(doctree):
        source = cell_of(block, part.source if part else 0)
        if block.get("nb_element") == "cell_code":
            yield from [*([part] if part else []), *captions(source, block)]
            part = None
            continue
        anchors = own_anchors(block)
        if part is None or part.source != source or anchors:
            if part:
                yield part
            part = Part(source, (anchors[0] if anchors and source else ids[source])[:ID], [], [])
        part.blocks.append(block)
        part.anchors.extend([*anchors, *(name for node in block.findall(nodes.Element) for name in node["ids"])])
    if part:
        yield part


def top_level(node: nodes.Node) -> Iterator[Any]:
    """Yield what stands in the sections of a page, in its order."""
    for child in node.children:
        if isinstance(child, nodes.section):
            yield from top_level(child)
        elif type(child).__name__ not in LEFT_OUT:
            yield child


def own_anchors(block: nodes.Element) -> list[str]:
    """Return the anchors of a block at which a cell begins; none for any other."""
    if isinstance(block, nodes.title):
        return list(block.parent["ids"])
    return list(block["ids"]) if isinstance(block, nodes.math_block | nodes.figure) else []


def captions(source: int, block: nodes.Element) -> Iterator[Part]:
    """Yield a cell for the caption of each figure that a code cell draws."""
    for figure in block.findall(nodes.figure):
        yield Part(source, figure["ids"][0][:ID], list(figure.findall(nodes.caption)), figure["ids"])


def finished(cell: NotebookNode, keep: bool) -> NotebookNode:
    """Return a cell as it is stored: with its outputs or without, and folded where the page folds it."""
    if cell.cell_type != "code":
        return cell
    tags = cell.metadata.get("tags", [])
    made = NotebookNode(nbformat.v4.new_code_cell(cell.source, id=cell.id, metadata={"tags": tags} if tags else {}))
    hidden = {"hide-input", "hide-cell"} & set(tags)
    if hidden:
        made.metadata["jupyter"] = {"source_hidden": True} | ({"outputs_hidden": True} if "hide-cell" in tags else {})
        made.metadata["cellView"] = "form"  # Colab's word for it
    if keep:
        made.outputs, made.execution_count = [still(output) for output in cell.outputs], cell.execution_count
    return made


def still(output: NotebookNode) -> NotebookNode:
    """Return an output; that of a widget as its picture or words alone, which need neither kernel nor script."""
    if WIDGET not in output.get("data", {}):
        return output
    figure = output.data["text/html"]
    if '"attention":' not in figure:  # no map
        return NotebookNode(output, data={"text/html": without_script(figure), "text/plain": "A widget, in words."})
    state = state_of(figure)
    return NotebookNode(output, data={"image/svg+xml": svg(state), "text/plain": words(state)})


def tidy(app: Sphinx, error: Exception | None) -> None:
    """Say in the folder what it holds, and remove notebooks whose chapter is gone."""
    folder = Path(app.outdir).parent / FOLDER
    if error is not None or app.builder.name != "html" or not folder.is_dir():
        return
    for path in folder.rglob("*.ipynb"):
        name = path.relative_to(folder).as_posix().removeprefix(f"{WITH_OUTPUTS}/").removesuffix(".ipynb")
        if name not in app.env.found_docs:
            path.unlink()
    repository = app.config.html_theme_options["repository_url"]
    text = README.format(title=app.config.project, repository=repository, folder=WITH_OUTPUTS)
    (folder / "README.md").write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension, to run when the page is resolved."""
    app.setup_extension("words")
    app.add_config_value("notebooks_branch", "", "", [str])
    app.connect("doctree-resolved", make, priority=900)
    app.connect("build-finished", tidy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
