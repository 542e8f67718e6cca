"""What OASIS's STIX pattern matcher says of pairs of a pattern and an event.

    match_verdicts.py              reads JSON lines {"objects": […], "time": …,
                                   "alternatives": [[PATTERN, …], …]}, answers each with
                                   true or false: whether all patterns of any alternative
                                   match the objects
    match_verdicts.py --examples   prints the patterns of the matcher's own tests that
                                   compare numbers and strings of one observation, as JSON
                                   lines {"objects": […], "pattern": …}

The matcher lets no two tests on objects of different types stand in one AND, so that a
pattern comes in alternatives, each cut into one pattern for each type.
"""

import ast
import functools
import json
import pathlib
import sys

import stix2matcher
from stix2matcher.matcher import Pattern


@functools.lru_cache(maxsize=50_000)
def compiled(pattern):
    return Pattern(pattern, "2.1")


def bundle(objects, time):
    observed = {
        "type": "observed-data", "id": "observed-data--0", "spec_version": "2.1",
        "number_observed": 1, "first_observed": time, "last_observed": time,
        "object_refs": [one["id"] for one in objects],
    }
    return {"type": "bundle", "id": "bundle--0", "objects": [observed, *objects]}


def matches(request):
    observation = bundle(request["objects"], request["time"])
    return any(
        all(compiled(pattern).match([observation]) for pattern in alternative)
        for alternative in request["alternatives"]
    )


def cases(function):
    """The patterns that a function of the tests is run for."""
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and len(decorator.args) == 2:
            if not isinstance(decorator.args[1], (ast.List, ast.Tuple)):
                continue
            for case in decorator.args[1].elts:
                text = case.elts[0] if isinstance(case, ast.Tuple) else case
                if isinstance(text, ast.Constant):
                    yield text.value


def examples():
    for file in sorted(pathlib.Path(stix2matcher.__file__).parent.glob("test/v21/test_*.py")):
        tree = ast.parse(file.read_text())
        assigned = {node.targets[0].id: node.value for node in tree.body
                    if isinstance(node, ast.Assign)}
        try:
            observations = ast.literal_eval(assigned["_observations"])
        except (KeyError, ValueError):
            continue
        objects = [one for bundle in observations for one in bundle["objects"]]
        observed = [one for one in objects if one["type"] == "observed-data"]
        if len(observed) != 1:
            continue
        for function in tree.body:
            if isinstance(function, ast.FunctionDef):
                for pattern in cases(function):
                    yield {
                        "objects": [one for one in objects if one["type"] != "observed-data"],
                        "time": observed[0]["first_observed"],
                        "pattern": pattern,
                    }


def main():
    if sys.argv[1:] == ["--examples"]:
        for example in examples():
            print(json.dumps(example, default=str))
        return
    for line in sys.stdin:
        request = json.loads(line)
        try:
            print(json.dumps(matches(request)))
        except Exception as error:  # a pattern that it does not take has no verdict
            print(json.dumps(repr(error)))


main()
