"""Equations of Office as one line of text."""

from app.retrieval.extractors.archives import Element, child, local


def linear(element: Element) -> str:
    """The equation as it is typed: `(a + b)/c`, `x^2`, `√(n)`."""
    parts = []
    for inner in element:
        match local(inner):
            case "t":
                parts.append(inner.text or "")
            case "f":
                parts.append(f"({_part(inner, 'num')})/({_part(inner, 'den')})")
            case "sSup":
                parts.append(f"{_part(inner, 'e')}^{_grouped(_part(inner, 'sup'))}")
            case "sSub":
                parts.append(f"{_part(inner, 'e')}_{_grouped(_part(inner, 'sub'))}")
            case "rad":
                parts.append(f"{_part(inner, 'deg')}√({_part(inner, 'e')})")
            case "nary":
                below, above = _part(inner, "sub"), _part(inner, "sup")
                parts.append(f"∑_{_grouped(below)}^{_grouped(above)} {_part(inner, 'e')}")
            case "d":
                parts.append(f"({_part(inner, 'e')})")
            case "rPr" | "ctrlPr":
                continue
            case _:
                parts.append(linear(inner))
    return "".join(parts)


def _part(element: Element, name: str) -> str:
    part = child(element, name)
    return linear(part) if part is not None else ""


def _grouped(text: str) -> str:
    return text if len(text) < 2 else f"({text})"
