import ast
import re
from pathlib import Path

CASES = range(1, 39)
_NAMED = re.compile(r"test_f(\d\d)_[a-z]")


def test_each_of_the_38_failure_cases_has_a_test_of_its_number() -> None:
    """Every test here is named by a case, from F1 to F38, and every case has one."""
    here = Path(__file__)
    trees = [ast.parse(path.read_text()) for path in here.parent.glob("test_*.py") if path != here]
    names = [
        node.name
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test")
    ]
    numbers = [found and int(found[1]) for found in map(_NAMED.match, names)]

    assert set(CASES) == set(numbers)
