"""Reads STIX objects, one a line, with the reference library.

Usage: stix2_parse.py TYPE

Writes one JSON verdict a line: {"object": what the library serializes the
object to} or {"error": what is wrong}. An indicator that a sighting carries is
parsed too.
"""

import contextlib
import json
import sys

import stix2


def parse(text, expected):
    """Parses one object, which has to be of the expected STIX 2.1 type."""
    parsed = stix2.parse(text, allow_custom=True)
    wanted = {"sighting": stix2.v21.Sighting, "indicator": stix2.v21.Indicator}[expected]
    if type(parsed) is not wanted:
        raise ValueError(f"a {type(parsed).__name__}, not a STIX 2.1 {expected}")
    return parsed


def read(line, expected):
    """The object of one line, as the library writes it."""
    parsed = parse(line, expected)
    if "x_threatbus_indicator" in parsed:
        parse(parsed["x_threatbus_indicator"], "indicator")
    return json.loads(parsed.serialize())


def judge(line, expected):
    """The verdict on one line."""
    try:
        # The parser of patterns prints what it thinks of its version.
        with contextlib.redirect_stdout(sys.stderr):
            return {"object": read(line, expected)}
    # Whatever the library finds, it is the verdict.
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def main():
    expected = sys.argv[1]
    for line in sys.stdin:
        print(json.dumps(judge(line, expected)), flush=True)


if __name__ == "__main__":
    main()
