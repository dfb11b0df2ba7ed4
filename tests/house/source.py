"""The product's source, parsed once for the rules that read it."""

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Source:
    """One Python file: its path from the root, its text, its tree."""

    path: str
    text: str
    tree: ast.Module

    def nodes(self, *kinds: type[ast.AST]) -> list[ast.AST]:
        """All nodes of these kinds."""
        return [node for node in ast.walk(self.tree) if isinstance(node, kinds)]

    def calls(self, *names: str) -> list[int]:
        """The lines on which a method of one of these names is called."""
        return [
            node.lineno
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in names
        ]

    def imports(self) -> set[str]:
        """The modules it imports, by their full names."""
        found = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module or "")
        return found


@cache
def sources(*directories: str) -> tuple[Source, ...]:
    """Every Python file below these directories."""
    return tuple(
        Source(path=path.relative_to(ROOT).as_posix(), text=(text := path.read_text()), tree=ast.parse(text))
        for directory in directories
        for path in sorted((ROOT / directory).rglob("*.py"))
    )
