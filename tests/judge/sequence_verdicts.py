"""What OASIS's STIX pattern matcher says of pairs of a pattern and a sequence of events.

    sequence_verdicts.py            reads JSON lines {"pattern": …, "events": [{"time": …,
                                    "objects": […]}, …]}, the events in order of time, and
                                    answers each with the numbers of the events that are
                                    the last of some binding
    sequence_verdicts.py --moved    prints the cases of the matcher's own tests of operators
                                    and qualifiers, moved to files and ports, as JSON lines
                                    {"test": …, "pattern": …, "matches": …, "events": […]};
                                    names become ports of the source, ages those of the
                                    destination
"""

import ast
import json
import pathlib
import re
import sys

import stix2matcher
from stix2matcher.matcher import MatchListener, Pattern

NAMES = ["alice", "amber", "bill", "bob", "carol", "darlene", "elizabeth", "foo", "hannah",
         "mary", "zelda"]


def bundles(events):
    for number, event in enumerate(events):
        objects = [dict(one, id=f"{one['id']}-{number}") for one in event["objects"]]
        yield {"type": "bundle", "id": f"bundle--{number}", "objects": [
            {"type": "observed-data", "id": f"observed-data--{number}", "spec_version": "2.1",
             "number_observed": 1, "first_observed": event["time"],
             "last_observed": event["time"], "object_refs": [one["id"] for one in objects]},
            *objects]}


def ends(request):
    listener = MatchListener(list(bundles(request["events"])), stix_version="2.1")
    Pattern(request["pattern"], "2.1").walk(listener)
    last = {max(number for number in binding if number is not None)
            for binding in listener.matched()}
    return sorted(last)


def ordinal(name):
    """Where a name is among others, with room between any two."""
    return 10 * sum(other <= name for other in NAMES) + (name not in NAMES)


def moved(pattern):
    """The pattern with names and ages as ports."""
    def test(match):
        negated, operator, name = match.groups()
        negated = negated or ""
        if operator in ("LIKE", "MATCHES"):
            expression = name.replace("%", ".*") + "$" if operator == "LIKE" else name
            fitting = [n for n in NAMES if (re.match if operator == "LIKE" else re.search)(
                expression, n)]
            ports = ", ".join(str(ordinal(n)) for n in fitting) or "1"
            return f"network-traffic:src_port {negated}IN ({ports})"
        return f"network-traffic:src_port {negated}{operator} {ordinal(name)}"
    pattern = re.sub(r"person:name ?(NOT )?(LIKE|MATCHES|[<>=]+) ?'([^']*)'", test, pattern)
    # The same qualifier twice is no pattern of 2.1 without parentheses.
    pattern = re.sub(r"(\[[^]]*\] REPEATS \d+ TIMES) (REPEATS)", r"(\1) \2", pattern)
    return pattern.replace("person:age", "network-traffic:dst_port")


def events_of(observations):
    found = []
    for bundle in observations:
        objects = bundle["objects"]
        if isinstance(objects, dict):
            return None
        observed = [one for one in objects if one["type"] == "observed-data"][0]
        if observed["first_observed"] != observed["last_observed"]:
            return None
        person = [one for one in objects if one["type"] == "person"]
        if not person:
            return None
        person = person[0]
        event = {"time": observed["first_observed"], "src_port": ordinal(person["name"]),
                 "dst_port": person.get("age", 0)}
        found += [event] * observed["number_observed"]
    return sorted(found, key=lambda one: one["time"])


FILES = ["test_observation_exprs.py", "test_temporal_qualifiers.py", "test_complex.py"]


def cases():
    folder = pathlib.Path(stix2matcher.__file__).parent / "test/v21"
    for file in FILES:
        tree = ast.parse((folder / file).read_text())
        assigned = {node.targets[0].id: node.value for node in tree.body
                    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)}
        observations = events_of(ast.literal_eval(assigned["_observations"]))
        many = [{"time": f"2004-10-11T21:{44 + (58 + i) // 60}:{(58 + i) % 60:02}Z",
                 "src_port": ordinal("alice"), "dst_port": i} for i in range(20)]
        for function in tree.body:
            if not isinstance(function, ast.FunctionDef) or "error" in function.name:
                continue
            for decorator in function.decorator_list:
                names = decorator.args[0].value if isinstance(decorator, ast.Call) else ""
                if names != "pattern":
                    continue
                argument = decorator.args[1]
                for case in argument.elts:
                    # One is put together by an expression.
                    pattern = eval(compile(ast.Expression(case), file, "eval"))
                    events = many if "explosion" in function.name else observations
                    # In 2.0 times are strings.
                    pattern = re.sub(r"(START|STOP) '", r"\1 t'", pattern)
                    yield {"test": function.name, "pattern": moved(pattern),
                           "matches": "nomatch" not in function.name, "events": events}


def intervals():
    """The test that changes times, where an event has one: at a point of time each."""
    times = [f"2000-01-01T00:00:0{n}Z" for n in range(5)]
    for one in times:
        for other in times:
            for seconds in (1, 2):
                distance = abs(int(one[18]) - int(other[18]))
                events = [{"time": one, "src_port": ordinal("alice"), "dst_port": 0},
                          {"time": other, "src_port": ordinal("bob"), "dst_port": 0}]
                pattern = f"([person:name='alice'] AND [person:name='bob']) WITHIN {seconds} SECONDS"
                yield {"test": "test_within", "pattern": moved(pattern),
                       "matches": distance <= seconds,
                       "events": sorted(events, key=lambda one: one["time"])}


def main():
    if sys.argv[1:] == ["--moved"]:
        for case in [*cases(), *intervals()]:
            print(json.dumps(case))
        return
    for line in sys.stdin:
        request = json.loads(line)
        try:
            print(json.dumps(ends(request)))
        except Exception as error:  # a pattern that it does not take has no verdict
            print(json.dumps(repr(error)))


main()
