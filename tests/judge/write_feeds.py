"""Writes feeds as the libraries of the field do, into a folder.

Usage: write_feeds.py FOLDER < VALUES

VALUES are lines of JSON: [MISP type, STIX path, value]. The files hold one indicator
for each, in the order of the lines.
"""

import csv
import json
import pathlib
import sys

import stix2
from pymisp import MISPEvent, MISPObject, MISPOrganisation

CREATED = "2024-05-01T10:00:00Z"


def write_csv(path, values):
    """Every cell in quotation marks, with a note over two lines."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(["first_seen", "ioc_type", "ioc_value", "note"])
        for kind, _, value in values:
            writer.writerow([CREATED, kind, value, 'a "note",\nof two lines'])


def write_tabs(path, values):
    """The dialect of spreadsheets, with tabs."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["note", "indicator"], dialect="excel-tab")
        writer.writeheader()
        for _, _, value in values:
            writer.writerow({"indicator": value, "note": "x"})


def event_of(values):
    """A MISP event: half of the attributes are alone, half in an object."""
    event = MISPEvent()
    event.info = "An event"
    # What the format of a feed asks for.
    owner = MISPOrganisation()
    owner.name = "Example organisation"
    owner.uuid = "00000000-0000-4000-8000-000000000001"
    event.Orgc = owner
    event.set_date("2024-05-01")
    event.analysis = 0
    event.threat_level_id = 1
    event.timestamp = 1714557600
    middle = len(values) // 2
    for kind, _, value in values[:middle]:
        event.add_attribute(kind, value, to_ids=True)
    event.add_attribute("text", "no indicator", to_ids=False)
    own = MISPObject("x-own", strict=False, standalone=False)
    own.template_uuid = "00000000-0000-4000-8000-000000000002"
    own.template_version = "1"
    own.description = "an object of somebody's own"
    setattr(own, "meta-category", "misc")
    for rank, (kind, _, value) in enumerate(values[middle:]):
        own.add_attribute(f"value-{rank}", value=value, type=kind, to_ids=True)
    event.add_object(own)
    return event


def bundle_of(version, values):
    """A bundle of indicators of this version of STIX."""
    extra = {"labels": ["malicious-activity"]} if version is stix2.v20 else {"pattern_type": "stix"}
    indicators = [
        version.Indicator(pattern=f"[{path} = '{value}']", valid_from=CREATED, **extra)
        for _, path, value in values
    ]
    identity = version.Identity(name="somebody", identity_class="organization")
    return version.Bundle(identity, *indicators)


def main():
    folder = pathlib.Path(sys.argv[1])
    values = [json.loads(line) for line in sys.stdin]
    write_csv(folder / "quoted.csv", values)
    write_tabs(folder / "tabs.csv", values)
    event = event_of(values)
    (folder / "event.json").write_text(event.to_json())
    (folder / "wrapped.json").write_text(json.dumps({"response": [{"Event": json.loads(event.to_json())}]}))
    misp = folder / "misp"
    misp.mkdir()
    feed = event.to_feed(with_meta=False)
    (misp / f"{event.uuid}.json").write_text(json.dumps(feed))
    (misp / "manifest.json").write_text(json.dumps({event.uuid: {"info": event.info}}))
    (folder / "stix-2.0.json").write_text(bundle_of(stix2.v20, values).serialize(pretty=True))
    (folder / "stix-2.1.json").write_text(bundle_of(stix2.v21, values).serialize())


if __name__ == "__main__":
    main()
