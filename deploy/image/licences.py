"""Prints the licences of the components that a CycloneDX document names: `licences.py sbom.cdx.json PACKAGES`.

Where the document is silent, the packages in the folder PACKAGES are asked.
"""

import json
import sys
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

_SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
"""What packages of the lock say in classifiers and in the old field, as SPDX says it."""


def licences(component: "dict[str, Any]", said: Mapping[str, str]) -> str:
    """Return a component's licences, as expressions of SPDX where its publisher gave one, or else what is `said`."""
    named = [item.get("expression") or _name(item.get("license", {})) for item in component.get("licenses", [])]
    return ", ".join(dict.fromkeys(name for name in named if name)) or said.get(component["name"]) or "not stated"


def _name(licence: "dict[str, Any]") -> str:
    # A publisher's whole text may stand where a name should, or a classifier (License :: OSI Approved :: MIT License).
    name = str(licence.get("id") or licence.get("name") or "").partition("\n")[0].rpartition(" :: ")[2]
    return _SPDX.get(name, name)


def said_in(packages: Path) -> "dict[str, str]":
    """Return what installed packages say of their licences in the old field for it (PEP 314), by their names."""
    found = {one.name: one.metadata.get_all("License") or [""] for one in distributions(path=[str(packages)])}
    said = {name: field.strip().partition("\n")[0] for name, [field, *_] in found.items()}
    return {name: _SPDX.get(field, field) for name, field in said.items()}


def lines(document: "dict[str, Any]", said: Mapping[str, str]) -> "list[str]":
    """Return a line for each component, in order of their names; `said` are licences by name, for want of better."""
    found = [(part["name"], part.get("version", ""), licences(part, said)) for part in document.get("components", [])]
    return [f"{name} {version}: {licence}" for name, version, licence in sorted(found)]


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sys.stdout.write("\n".join(lines(given, said_in(Path(sys.argv[2])))) + "\n")
