"""Make or list the models of the zoo: ``python -m companion.zoo train prose``, ``… list``."""

import argparse
from pathlib import Path

from companion import zoo
from companion.zoo import recipes, story_recipes


def main() -> None:
    """Parse the command line and do what it says."""
    parser = argparse.ArgumentParser(prog="python -m companion.zoo", description=zoo.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="name the models that ship with the package")
    train = commands.add_parser("train", help="make a model; run again to go on after an interruption")
    train.add_argument("name", choices=sorted([*recipes.RECIPES, *story_recipes.RECIPES]))
    train.add_argument("--to", type=Path, help="folder to write to; runs/<name> when not given")
    train.add_argument("--threads", type=int, default=1, help="of torch; the shipped models used 1")
    arguments = parser.parse_args()
    if arguments.command == "list":
        print("\n".join(zoo.names()))
        return
    target = arguments.to or Path("runs") / arguments.name
    tells_stories = arguments.name in story_recipes.RECIPES
    train_it = story_recipes.train if tells_stories else recipes.train
    step, nats = train_it(arguments.name, target, arguments.threads).evaluations[-1]
    measure = "above the exact entropy of held-out stories" if tells_stories else "on held-out text"
    print(f"{target}: {step} steps, {nats:.3f} nats a token {measure}")


if __name__ == "__main__":
    main()
