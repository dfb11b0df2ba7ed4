"""Import a library without its ties to another one that is installed and that it can do without."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(*modules: str) -> Iterator[None]:
    """Within the block, importing one of these modules fails as if it were not installed.

    structlog and httpx load `rich` and `pygments` wherever they find them, for tracebacks in colour and a command line
    that we do not use: a tenth of the time that an API process needs to start.
    """
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(dict.fromkeys(modules))  # type: ignore[arg-type]  # None is how Python marks what must not be found
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
