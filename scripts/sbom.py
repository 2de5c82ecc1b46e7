"""Writes what the image is made of, from requirements.lock and the pages' vendored libraries:
`sbom.cdx.json` (CycloneDX) and `docs/licences.md`. Run after a change to either: make sbom

A lock knows versions and hashes, an installed package its licence: run it where the lock is
installed as in the image, on Linux with Python 3.11. Debian's packages in the base image are
not in it.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageMetadata, distribution

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement

from app import __version__
from app.settings import ROOT

NAME = "zantara-backend"
LOCK = ROOT / "requirements.lock"
SBOM = ROOT / "sbom.cdx.json"
LICENCES = ROOT / "docs" / "licences.md"
VENDORED = ROOT / "app" / "pages" / "static" / "vendor" / "manifest.json"

_IMAGE = {
    "python_version": "3.11",
    "python_full_version": "3.11.14",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "os_name": "posix",
}
"""What the lock's conditions are asked with, wherever this runs."""
_NO_LICENCE_FIELD = {
    "httpx-aiohttp": "BSD-3-Clause",  # the text of its LICENSE
}
"""Of packages whose metadata name none."""
_ABOUT = """\
# Licences

What the image is made of beside Debian and Python, by `make sbom`: what each package says of its
licence. `sbom.cdx.json` says what needs what, `requirements.lock` has the hashes.

Of note to whoever passes the image on rather than runs it:

- **python-stdnum** is under the LGPL, version 2.1 or later: an unchanged library, installed beside
  the others, that can be replaced by another version.
- **av** holds FFmpeg, which says of itself that it is under the LGPL, version 3 or later, and
  beside it x264 and x265, which are under the GPL, version 2 or later.
- **certifi**, **orjson**, **tqdm** and DOMPurify are under the MPL 2.0, some with a choice.

| package | version | licence |
|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class Part:
    """One package; `registry` is `pypi` or `npm`, as a package URL names them.

    `via` are the names of those that need it, as the lock has them.
    """

    registry: str
    name: str
    version: str
    via: tuple[str, ...] = field(default=(), repr=False)
    licence: str = ""


def locked() -> Iterator[Part]:
    """The packages of the lock that belong into the image."""
    for entry in re.split(r"\n(?=[a-z0-9])", LOCK.read_text()):
        if not re.match("[a-z0-9]", entry):
            continue
        requirement = Requirement(entry.splitlines()[0].rstrip(" \\"))
        if requirement.marker is None or requirement.marker.evaluate(dict(_IMAGE)):
            _, _, via = entry.partition("# via")
            version = str(requirement.specifier).removeprefix("==")
            names = re.findall(r"(?m)^(?: +#)? +([a-z0-9._-]+)", via)
            yield Part("pypi", requirement.name, version, tuple(names))


def licence_of(package: PackageMetadata) -> str:
    """What a package says of its licence, in the newest of three ways that it uses."""
    classified = [
        value.rpartition(" :: ")[2]
        for value in package.get_all("Classifier", [])
        if value.startswith("License ::")
    ]
    if "License-Expression" in package:
        return package["License-Expression"]
    if package["Name"] in _NO_LICENCE_FIELD:
        return _NO_LICENCE_FIELD[package["Name"]]
    return " AND ".join(classified) or package["License"].partition("\n")[0]


def parts() -> list[Part]:
    """Everything, by name."""
    found = [
        replace(part, licence=licence_of(distribution(part.name).metadata)) for part in locked()
    ]
    found += [
        Part("npm", package["name"], package["version"], (NAME,), package["licence"])
        for package in json.loads(VENDORED.read_text())["packages"]
    ]
    return sorted(found, key=lambda part: (part.name, part.registry))


def sbom(found: list[Part]) -> str:
    """The bill of materials in CycloneDX 1.6, the same for the same parts."""
    components = {part.name: _component(part) for part in found}
    bom = Bom(components=components.values())
    whole = Component(name=NAME, version=__version__, type=ComponentType.APPLICATION, bom_ref=NAME)
    bom.metadata.component = whole
    for name, component in [*components.items(), (NAME, whole)]:
        bom.register_dependency(
            component, [components[part.name] for part in found if name in part.via]
        )
    written = json.loads(JsonV1Dot6(bom).output_as_string())
    # They differ each time it is written.
    del written["serialNumber"], written["metadata"]["timestamp"]
    return json.dumps(written, indent=1, ensure_ascii=False) + "\n"


def _component(part: Part) -> Component:
    address = PackageURL(part.registry, name=part.name, version=part.version)
    return Component(
        name=part.name,
        version=part.version,
        type=ComponentType.LIBRARY,
        bom_ref=str(address),
        purl=address,
        licenses=[LicenseFactory().make_from_string(part.licence)],
    )


def main() -> None:
    """Write both files."""
    found = parts()
    SBOM.write_text(sbom(found))
    lines = [f"| {part.name} | {part.version} | {part.licence} |" for part in found]
    LICENCES.write_text(_ABOUT + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
