"""YAML and XML into Markdown, as JSON is: a section a record, a line a value."""

from typing import Any

import yaml
from lxml import etree  # type: ignore[import-untyped]  # the package ships no types

from app.errors import DocumentRejected
from app.retrieval.extractors.archives import Element, local
from app.retrieval.extractors.encodings import decoded
from app.retrieval.extractors.extracted import Extracted
from app.retrieval.extractors.json_records import of_value


def extract_yaml(content: bytes) -> Extracted:
    """Every value is the text that it is. Raises `DocumentRejected`."""
    text, warnings = decoded(content)
    try:
        # An alias repeats what it names: ten of ten of ten fill any memory.
        if any(isinstance(e, yaml.AliasEvent) for e in yaml.parse(text, Loader=yaml.CBaseLoader)):
            raise DocumentRejected("has aliases: save it without them")
        values = list(yaml.load_all(text, Loader=yaml.CBaseLoader))
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise DocumentRejected(f"is not YAML: {reason:.200}") from error
    value = values[0] if len(values) == 1 else values
    return Extracted(of_value(value), is_markdown=True, warnings=warnings)


def extract_xml(content: bytes) -> Extracted:
    """Elements and attributes by their names. Raises `DocumentRejected`."""
    if b"<!DOCTYPE" in content or "<!DOCTYPE".encode("utf-16-le") in content:
        raise DocumentRejected("declares XML entities: save it without its DOCTYPE")
    try:
        root = etree.fromstring(content, etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError as error:
        raise DocumentRejected(f"is not XML: {error}") from error
    return Extracted(of_value(_value(root)), is_markdown=True)


def _value(element: Element) -> Any:
    """A text, or an object of the elements below; those of one name as a list."""
    own = " ".join((element.text or "").split())
    values: dict[str, Any] = {str(n).rpartition("}")[2]: str(v) for n, v in element.attrib.items()}
    children: dict[str, list[Any]] = {}
    for inner in element:
        if local(inner):
            children.setdefault(local(inner), []).append(_value(inner))
            own = " ".join([own, *(inner.tail or "").split()]).strip()
    if not values and not children:
        return own
    if own:
        values["text"] = own
    for name, found in children.items():
        values[name if name not in values else f"{name} (2)"] = (
            found[0] if len(found) == 1 else found
        )
    return values
