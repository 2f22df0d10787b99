"""Sizes and names of the files in recsys/, as docs/architecture.md states them."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import recsys

PACKAGE = Path(recsys.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES_OF_A_FILE = 300
MOST_LINES_OF_A_FUNCTION = 60


def name(path: Path) -> str:
    return str(path.relative_to(PACKAGE.parent))


def functions(text: str) -> Iterator[tuple[str, int]]:
    """Yield each function's name and its number of lines, from its first decorator to its last line."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min(line.lineno for line in (node, *node.decorator_list))
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - first + 1


def test_there_are_files():
    assert len(FILES) > 100


def test_lines_of_a_function_are_counted_from_its_decorator_to_its_end():
    text = '@a\n@b\ndef outer():\n    """Text."""\n\n    def inner():\n        return 1\n\n    return inner\n'
    assert list(functions(text)) == [("outer", 9), ("inner", 2)]


def test_no_file_is_long():
    lines = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {path: count for path, count in lines.items() if count > MOST_LINES_OF_A_FILE} == {}


def test_no_function_is_long():
    lines = [(f"{name(path)}: {function}", count) for path in FILES for function, count in functions(path.read_text(encoding="utf-8"))]
    assert [(function, count) for function, count in lines if count > MOST_LINES_OF_A_FUNCTION] == []


def test_each_file_has_a_name_of_its_own():
    paths = defaultdict(list)
    for path in FILES:
        paths[path.name].append(name(path))
    assert {base: found for base, found in paths.items() if len(found) > 1 and base != "__init__.py"} == {}
