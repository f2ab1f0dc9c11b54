"""Prints the licences of the components that a CycloneDX document names: `licences.py sbom.cdx.json`."""

import json
import sys
from pathlib import Path
from typing import Any


def licences(component: "dict[str, Any]") -> str:
    """Return a component's licences, as expressions of SPDX where its publisher gave one."""
    named = [item.get("expression") or _name(item.get("license", {})) for item in component.get("licenses", [])]
    return " AND ".join(dict.fromkeys(name for name in named if name)) or "not stated"


def _name(licence: "dict[str, Any]") -> str:
    # A publisher's whole text may stand where a name should.
    return str(licence.get("id") or licence.get("name") or "").partition("\n")[0]


def lines(document: "dict[str, Any]") -> "list[str]":
    """Return a line for each component, in order of their names."""
    found = [(part["name"], part.get("version", ""), licences(part)) for part in document.get("components", [])]
    return [f"{name} {version}: {licence}" for name, version, licence in sorted(found)]


if __name__ == "__main__":
    sys.stdout.write("\n".join(lines(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))) + "\n")
