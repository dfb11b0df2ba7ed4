"""Import a library without an optional dependency that is installed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(*modules: str) -> Iterator[None]:
    """Within the block, an import of one of these modules fails as if it were not installed.

    structlog and httpx load `rich` and `pygments` if they are installed, for coloured tracebacks and a command line
    that we do not use. That takes a tenth of the time in which an API process starts.
    """
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(dict.fromkeys(modules))  # type: ignore[arg-type]  # None: Python must not find it
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
