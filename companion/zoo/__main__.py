"""Make or list the models of the zoo: ``python -m companion.zoo train prose``, ``… list``.

Chapters: ``book/algorithms/gpt.ipynb``, ``book/concepts/storyworld.ipynb``.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from companion import zoo
from companion.training.run_state import History
from companion.zoo.recipes import prose, storyworld_bert, storyworld_bert_small, storyworld_gpt


def makers() -> dict[str, tuple[Callable[[str, Path, int], History], str]]:
    """Return, for each model that can be made, what makes it and what its last evaluation measures."""
    floor = "nats a token above the exact entropy of held-out stories"
    wrong = "of the questions to held-out stories answered wrong"
    return {
        **dict.fromkeys(prose.RECIPES, (prose.train, "nats a token on held-out text")),
        **dict.fromkeys(storyworld_gpt.RECIPES, (storyworld_gpt.train, floor)),
        **dict.fromkeys(storyworld_bert.RECIPES, (storyworld_bert.train, wrong)),
        **dict.fromkeys(storyworld_bert_small.RECIPES, (storyworld_bert_small.train, wrong)),
    }


def main() -> None:
    """Parse the command line and do what it says."""
    parser = argparse.ArgumentParser(prog="python -m companion.zoo", description=zoo.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="name the models that ship with the package")
    train = commands.add_parser("train", help="make a model; run again to go on after an interruption")
    train.add_argument("name", choices=sorted(makers()))
    train.add_argument("--to", type=Path, help="folder to write to; runs/<name> when not given")
    train.add_argument("--threads", type=int, default=1, help="of torch; the shipped models used 1")
    arguments = parser.parse_args()
    if arguments.command == "list":
        print("\n".join(zoo.names()))
        return
    target = arguments.to or Path("runs") / arguments.name
    train_it, measure = makers()[arguments.name]
    step, value = train_it(arguments.name, target, arguments.threads).evaluations[-1]
    print(f"{target}: {step} steps, {value:.3f} {measure}")


if __name__ == "__main__":
    main()
