"""Reading SVG."""

from xml.etree import ElementTree


def texts(svg):
    """What is written in a plot."""
    return {
        "".join(element.itertext()).strip() for element in ElementTree.fromstring(svg).iter() if "text" in element.tag
    }
