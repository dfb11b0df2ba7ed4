"""The product's source, parsed once for the rules that read it."""

import ast
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Source:
    """One Python file: its path from the root, its text, its tree."""

    path: str
    text: str
    tree: ast.Module

    @cached_property
    def _all(self) -> tuple[ast.AST, ...]:
        """Every node, collected once: a dozen rules look through them."""
        return tuple(ast.walk(self.tree))

    def nodes(self, *kinds: type[ast.AST]) -> list[ast.AST]:
        """All nodes of these kinds."""
        return [node for node in self._all if isinstance(node, kinds)]

    def calls(self, *names: str) -> list[int]:
        """The lines on which a method of one of these names is called."""
        return [
            node.lineno
            for node in self._all
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in names
        ]

    def imports(self) -> set[str]:
        """The modules it imports, by their full names."""
        found = set()
        for node in self._all:
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module or "")
        return found


def sources(*directories: str) -> tuple[Source, ...]:
    """Every Python file below these directories."""
    return tuple(source for directory in directories for source in _below(directory))


@cache
def _below(directory: str) -> tuple[Source, ...]:
    return tuple(
        Source(path=path.relative_to(ROOT).as_posix(), text=(text := path.read_text()), tree=ast.parse(text))
        for path in sorted((ROOT / directory).rglob("*.py"))
    )
