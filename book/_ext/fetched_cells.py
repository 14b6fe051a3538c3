"""Cells that need a published model or text: without it they are left out, and a box says what is missing.

Such a cell has a tag ``fetched:<name>`` for each entry of :mod:`companion.data.published` that it needs, also where it
only uses the variables of another such cell. Text that speaks of what these cells show has the tag, too. A cell is left
out of a run when the cache lacks one of its names; nothing is downloaded here (``make book`` did so before). The page
shows one box for cells that follow each other; headings stay. The notebooks that are made of the page keep the cells:
where they are run, the model is fetched.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy

from docutils import nodes
from nbformat import NotebookNode
from nbformat.v4 import new_output

from companion.data.fetched import is_complete
from companion.data.published import entry
from page_cells import cell_of
from words import word

TAG = "fetched:"
NOT_RUN = "skip-execution"  # nbclient's tag of a cell that it passes over
TITLE = "Left out of this build"
NEEDS = "This part needs {what}: not in the cache when the page was made."
FETCH = "One command fetches what is missing; the next build shows this part:"
WORDS = (TITLE, NEEDS, FETCH)

LeftOut = Mapping[int, tuple[str, ...]]  # the place of a cell that is left out -> the names that are missing


def names(cell: NotebookNode) -> list[str]:
    """Return the catalogue's names that a cell needs.

    Raises:
        ValueError: when the catalogue has no such name.
    """
    found = [tag.removeprefix(TAG) for tag in cell.metadata.get("tags", []) if tag.startswith(TAG)]
    for name in found:
        entry(name)
    return found


def left_out(notebook: NotebookNode) -> LeftOut:
    """Return the cells of a notebook that need what the cache lacks.

    Raises:
        ValueError: when the catalogue has no name that a tag has.
        companion.data.downloads.WrongBytesError: when a file in the cache was changed.
    """
    needed = {place: names(cell) for place, cell in enumerate(notebook.cells)}
    missing = {name for name in sorted(set().union(*needed.values())) if not is_complete(name)}
    lacks = {place: tuple(name for name in found if name in missing) for place, found in needed.items()}
    return {place: found for place, found in lacks.items() if found}


def to_run(notebook: NotebookNode, out: LeftOut) -> NotebookNode:
    """Return a copy whose cells that are left out are passed over by a run."""
    copy = deepcopy(notebook)
    for place in out:
        cell = copy.cells[place]
        cell.metadata["tags"] = [*cell.metadata.get("tags", []), NOT_RUN]
    return copy


def with_empty_figures(page: NotebookNode, out: LeftOut) -> NotebookNode:
    """Return the cells of a page, in which a figure that is left out has its number and name, so that others refer to it."""
    for place in out:
        cell = page.cells[place]
        if cell.cell_type == "code" and "figure" in cell.metadata.get("mystnb", {}):
            cell.outputs = [new_output("display_data", {"text/plain": word(TITLE)})]
    return page


def put_boxes(doctree: nodes.document, out: LeftOut) -> None:
    """Put a box in the place of each run of cells that are left out; what led to one of them leads to the box."""
    for blocks in runs(doctree, out):
        missing = list(dict.fromkeys(name for _, place in blocks for name in out[place]))
        made = box(missing)
        made["ids"] = [name for block, _ in blocks for node in block.findall(nodes.Element) for name in node["ids"]]
        first = blocks[0][0]
        first.parent.insert(first.parent.index(first), made)
        for block, _ in blocks:
            block.parent.remove(block)


def runs(doctree: nodes.document, out: LeftOut) -> list[list[tuple[nodes.Element, int]]]:
    """Return the blocks of cells that are left out, with the place of each, those together that follow each other."""
    found: list[list[tuple[nodes.Element, int]]] = []
    follows = False
    for block, place in blocks_of(doctree):
        leaves = place in out and not isinstance(block, nodes.title)
        if leaves and not follows:
            found.append([])
        if leaves:
            found[-1].append((block, place))
        follows = leaves
    return found


def blocks_of(doctree: nodes.document) -> Iterator[tuple[nodes.Element, int]]:
    """Yield what stands in the sections of a page, in its order, and the place of the cell that each block is from."""
    place = 0
    for part in (doctree, *doctree.findall(nodes.section)):
        for block in part.children:
            if isinstance(block, nodes.Element) and not isinstance(block, nodes.section):
                place = cell_of(block, place)
                yield block, place


def box(missing: list[str]) -> nodes.admonition:
    """Return the box that says what is missing, its size and its licence, and the command that fetches it."""
    told = [f"{entry(name).title} ({entry(name).size / 1e6:.1f} MB, {entry(name).licence})" for name in missing]
    command = f"python -m companion.zoo fetch {' '.join(missing)}"
    return nodes.admonition(
        "",
        nodes.title("", word(TITLE)),
        nodes.paragraph("", word(NEEDS).format(what="; ".join(told))),
        nodes.paragraph("", word(FETCH)),
        nodes.literal_block(command, command, language="bash"),
        classes=["note", "left-out"],
    )
