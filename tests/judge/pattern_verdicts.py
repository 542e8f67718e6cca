"""What the official STIX pattern validator says to patterns.

    pattern_verdicts.py               reads JSON lines {"pattern": TEXT, "version": "2.1"},
                                      answers each with {"verdict": …, "why": …}
    pattern_verdicts.py --examples    prints the patterns of the validator's own
                                      tests, one JSON string a line

The verdict is "valid", "syntax" (the grammar refuses it), "refused" (the
grammar takes it, another rule does not) or "crash" (the validator fails with
an exception, and so does not say that the pattern is valid).
"""

import ast
import json
import pathlib
import sys

import stix2patterns
from stix2patterns.validator import validate

BRACKETS = "input is missing square brackets"


def judge(pattern, version):
    try:
        valid, errors = validate(pattern, stix_version=version, ret_errs=True)
    except Exception as error:  # whatever it is, it is no "valid"
        return {"verdict": "crash", "why": repr(error)}
    syntax = [e for e in errors if "Error found at line" in e and BRACKETS not in e]
    verdict = "valid" if valid else "syntax" if syntax else "refused"
    return {"verdict": verdict, "why": " / ".join(errors)}


def strings(node):
    """The patterns in a list of cases: strings, or the first of each pair."""
    for case in node.elts:
        first = case.elts[0] if isinstance(case, ast.Tuple) else case
        yield ast.literal_eval(first)


def examples():
    for folder in sorted(pathlib.Path(stix2patterns.__file__).parent.glob("test/v2*")):
        yield from (folder / "spec_examples.txt").read_text().splitlines()
        tree = ast.parse((folder / "test_validator.py").read_text())
        for node in tree.body:
            if isinstance(node, ast.Assign) and node.targets[0].id in ("FAIL_CASES", "PASS_CASES"):
                yield from strings(node.value)


def main():
    if sys.argv[1:] == ["--examples"]:
        for pattern in examples():
            print(json.dumps(pattern))
        return
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(judge(request["pattern"], request["version"])))


main()
