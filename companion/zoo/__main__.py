"""Make the models of the zoo, and fetch, list and remove published models and texts: ``python -m companion.zoo list``.

Chapters: ``book/algorithms/gpt.ipynb``, ``book/concepts/storyworld.ipynb``.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from companion import zoo
from companion.data import fetched
from companion.data.downloads import WrongBytesError
from companion.data.published import CATALOGUE
from companion.nn.checks import check_integer
from companion.training.run_state import History
from companion.zoo.recipes import storyworld_bert, storyworld_bert_small, storyworld_gpt


def makers() -> dict[str, tuple[Callable[[str, Path, int], History], str]]:
    """Return, for each model that can be made, what makes it and what its last evaluation measures."""
    floor = "nats a token above the exact entropy of held-out stories"
    wrong = "of the questions to held-out stories answered wrong"
    return {
        **dict.fromkeys(storyworld_gpt.RECIPES, (storyworld_gpt.train, floor)),
        **dict.fromkeys(storyworld_bert.RECIPES, (storyworld_bert.train, wrong)),
        **dict.fromkeys(storyworld_bert_small.RECIPES, (storyworld_bert_small.train, wrong)),
    }


def main() -> None:
    """Parse the command line and do what it says."""
    parser = argparse.ArgumentParser(prog="python -m companion.zoo", description=zoo.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="name what ships with the package, and what can be fetched")
    fetch = commands.add_parser("fetch", help="download published models and texts; all when none is named")
    fetch.add_argument("names", nargs="*", metavar="name", help=", ".join(CATALOGUE))
    remove = commands.add_parser("remove", help="remove what was fetched from the cache")
    remove.add_argument("names", nargs="+", metavar="name")
    train = commands.add_parser("train", help="make a model; run again to go on after an interruption")
    train.add_argument("name", choices=sorted(makers()))
    train.add_argument("--to", type=Path, help="folder to write to; runs/<name> when not given")
    train.add_argument("--threads", type=int, default=1, help="of torch; the shipped models used 1")
    arguments = parser.parse_args()
    if arguments.command != "train":
        try:
            _tell(arguments.command, getattr(arguments, "names", []))
        except (ValueError, OSError) as error:
            parser.exit(1, f"{error}\n")
        return
    target = arguments.to or Path("runs") / arguments.name
    train_it, measure = makers()[arguments.name]
    try:
        check_integer("threads", arguments.threads)
        step, value = train_it(arguments.name, target, arguments.threads).evaluations[-1]
    except (ValueError, OSError) as error:
        parser.exit(1, f"{error}\n")
    print(f"{target}: {step} steps, {value:.3f} {measure}")


def _tell(command: str, names: Sequence[str]) -> None:
    """Do what concerns published models and texts, and print what was done."""
    if command == "list":
        lines = [*zoo.names(), *map(_line, CATALOGUE)]
    elif command == "fetch":
        lines = [f"{name}: {fetched.folder(name)}" for name in names or CATALOGUE]
    else:
        lines = [f"{name}: {'removed' if fetched.remove(name) else 'was not there'}" for name in names]
    print("\n".join(lines))


def _line(name: str) -> str:
    """What the list says of something that can be fetched."""
    known = CATALOGUE[name]
    try:
        state = f"in {fetched.cache()}" if fetched.is_complete(name) else f"to fetch, {known.size / 1e6:.1f} MB"
    except WrongBytesError as error:
        state = str(error)
    return f"{name} ({known.title}; {known.licence}; {state})"


if __name__ == "__main__":
    main()
