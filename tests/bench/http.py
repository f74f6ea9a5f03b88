"""What a request costs, on every kind of route, beside stock Sanic and Starlette: see README.md.

The program is `webload.py`. This file has the name of a package of Python's, which the other programs of the folder
import as well: they get that one.
"""

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

if __name__ == "__main__":
    from webload import main

    main()
else:
    here = Path(__file__).parent
    spec = PathFinder.find_spec(__name__, [entry for entry in sys.path if Path(entry or ".").resolve() != here])
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[__name__] = module_from_spec(spec)
    spec.loader.exec_module(module)
