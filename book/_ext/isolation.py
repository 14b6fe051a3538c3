"""Headers that let a page compute in several threads: without them a browser gives it no shared memory.

`sharing.py` writes them beside the pages, for hosts that read a file `_headers`; `tools/serve.py` sends them.
"""

ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
