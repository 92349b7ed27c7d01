"""Ratings in XMP packets (Adobe, XMP Specification), beside what other programs wrote there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

REJECTED: Final = -1
MOST_STARS: Final = 5
# Labels that Lightroom and digiKam colour: they do not show a rating of -1.
PICK_LABEL: Final = "Green"
REJECT_LABEL: Final = "Red"

_RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_META: Final = "adobe:ns:meta/"
_XMP: Final = "http://ns.adobe.com/xap/1.0/"
_OWN: Final = "urn:siamese-nima:xmp:1.0#"
_PREFIXES: Final = {"x": _META, "rdf": _RDF, "xmp": _XMP, "nima": _OWN}
_DESCRIPTION: Final = f"{{{_RDF}}}Description"
_EMPTY: Final = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="{_META}">
 <rdf:RDF xmlns:rdf="{_RDF}">
  <rdf:Description rdf:about="" xmlns:xmp="{_XMP}" xmlns:nima="{_OWN}"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>""".encode()


@dataclass(frozen=True, slots=True)
class Rating:
    """Marks to be written of a photo; those that are None stay as they are.

    Attributes:
        stars: 0…5, 0 for none, or -1 for a reject: `xmp:Rating`.
        label: A colour by its English name, as `xmp:Label`; empty for none.
        mean: Its mean opinion score, 1…10, as `nima:Mean`.
        tower: The network that the mean is of, as `nima:Tower`.
    """

    stars: int | None = None
    label: str | None = None
    mean: float | None = None
    tower: str | None = None

    def properties(self) -> dict[str, str]:
        """Names, with their namespaces, and values."""
        values = {
            f"{{{_XMP}}}Rating": self.stars,
            f"{{{_XMP}}}Label": self.label,
            f"{{{_OWN}}}Mean": None if self.mean is None else f"{self.mean:.4f}",
            f"{{{_OWN}}}Tower": self.tower,
        }
        return {name: str(value) for name, value in values.items() if value is not None}


def merge(packet: bytes | None, rating: Rating) -> bytes:
    """A packet with a rating; everything else in it stays, with its prefixes and comments.

    Args:
        packet: An XMP packet or sidecar; None or blanks for a new one.
        rating: What to write in the place of an earlier rating.

    Returns:
        The packet, UTF-8.

    Raises:
        ImportError: The extra `xmp` is not installed.
        ValueError: The packet is no XMP.
    """
    etree = import_etree()
    given = (packet or b"").strip(b"\0 \r\n\t")
    # No entities: a packet from elsewhere must not read files or grow without end.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        root = etree.fromstring(given or _EMPTY, parser)
    except etree.XMLSyntaxError as error:
        raise ValueError(f"the XMP is no XML: {error}") from error
    descriptions = list(root.iter(_DESCRIPTION))
    if not descriptions:
        rdf = root if root.tag == f"{{{_RDF}}}RDF" else root.find(f".//{{{_RDF}}}RDF")
        if rdf is None:
            raise ValueError("XML without rdf:RDF is no XMP")
        descriptions = [etree.SubElement(rdf, _DESCRIPTION, {f"{{{_RDF}}}about": ""})]
    top = [each for each in descriptions if each.getparent().tag == f"{{{_RDF}}}RDF"]
    for name, value in rating.properties().items():
        _set(top, name, value)
    declared = given.startswith(b"<?xml ")
    merged: bytes = etree.tostring(
        root.getroottree(), encoding="UTF-8" if declared else "utf-8", xml_declaration=declared
    )
    return merged


def import_etree() -> Any:
    """The XML library, which knows the usual prefixes.

    Raises:
        ImportError: It is not installed; says how to install it.
    """
    try:
        from lxml import etree
    except ImportError as error:
        raise ImportError("XMP needs lxml: pip install 'iq-client[xmp]'") from error
    for prefix, namespace in _PREFIXES.items():
        etree.register_namespace(prefix, namespace)
    return etree


def _set(descriptions: list[Any], name: str, value: str) -> None:
    """Gives a simple property a value where it stands; else as an attribute of the first."""
    found = False
    for description in descriptions:
        if name in description.attrib:
            description.set(name, value)
            found = True
        for element in description.findall(name):
            for child in list(element):
                element.remove(child)
            element.text = value
            found = True
    if not found:
        descriptions[0].set(name, value)
