"""Set the repository's address everywhere at once: `make repository URL=https://github.com/owner/name`.

The one place that holds the address is `repository: url` in `_config.yml`. The notebooks' bootstrap cells and launch
links, the README, the package's metadata and the citation repeat it because each must stand alone.
"""

import re
import subprocess
import sys
from pathlib import Path

from notebooks import repository

HOST = "https://github.com/"
# Public names on GitHub hold no underscore, so nobody can register this owner: see CONTRIBUTING.md.
NOBODY = "your_name"
OWNER = rf"(?:{NOBODY}|[A-Za-z0-9](?:-?[A-Za-z0-9]){{0,38}})"
NAME = r"[A-Za-z0-9._-]{1,100}"


def validate(url: str) -> str:
    """Return the address when it names a GitHub repository; raise ValueError with what is allowed otherwise.

    Colab opens notebooks from GitHub only, so no other host will do.
    """
    if not re.fullmatch(f"{HOST}{OWNER}/{NAME}", url) or url.endswith((".git", "/.", "/..")):
        raise ValueError(
            f"URL={url!r} is not the address of a repository: allowed is {HOST}owner/name without '.git' or a final '/'"
        )
    return url


def mentions(slug: str) -> re.Pattern[str]:
    """Matches `owner/name` behind GitHub's or Colab's host (group 1), and not as the start of a longer name."""
    return re.compile(rf"(github\.com/|google\.com/github/){re.escape(slug)}(?![\w-]|\.(?!git\b)\w)")


def text_files(root: Path) -> dict[Path, str]:
    """The text files that git keeps or would keep, with their text."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=root, capture_output=True, check=True).stdout.decode().split("\0")
    found = {}
    for path in sorted({root / name for name in names if name}):
        try:
            found[path] = path.read_bytes().decode("utf-8")
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue
    return found


def set_address(root: Path, url: str) -> list[Path]:
    """Replace the present address by `url` in every text file; return the files that changed."""
    new = validate(url).removeprefix(HOST)
    pattern = mentions(repository(root)["url"].removeprefix(HOST))
    changed = []
    for path, before in text_files(root).items():
        after = pattern.sub(lambda found: found[1] + new, before)
        if after != before:
            path.write_bytes(after.encode("utf-8"))
            changed.append(path)
    return changed


def main() -> None:
    """Set the address that the command line names and list the files that changed."""
    root = Path(__file__).resolve().parent.parent
    try:
        changed = set_address(root, sys.argv[1] if len(sys.argv) > 1 else "")
    except ValueError as error:
        raise SystemExit(str(error)) from None
    for path in changed:
        print(path.relative_to(root))
    print(f"{len(changed)} files changed. The package's metadata is among them: the next `make` installs it again.")


if __name__ == "__main__":
    main()
