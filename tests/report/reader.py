"""Pages read without a browser."""

import base64
from html.parser import HTMLParser

from speechbrain_fusion.report.page import write_page

VOID = {"br", "hr", "img", "input", "link", "meta"}
# what the page writes before negative numbers
MINUS = "\N{MINUS SIGN}"


class Reader(HTMLParser):
    """Elements of a page with their text; refuses what is not closed in turn."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.rules = [], [], []
        self.feed(text)
        self.close()
        assert not self.open
        for element in self.elements:
            element["raw"] = "".join(element["parts"])
            element["text"] = " ".join(" ".join(element["parts"]).split())

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, "parts": [], **dict(attrs)}
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self.open:
            element["parts"].append(data)

    def find(self, tag, **attributes):
        given = {key.rstrip("_"): value for key, value in attributes.items()}
        return [
            x
            for x in self.elements
            if x["tag"] == tag
            and all(
                value in (x.get(key) or "").split() or x.get(key) == value
                for key, value in given.items()
            )
        ]

    def text(self, place):
        (found,) = [x for x in self.elements if x.get("id") == place]
        return found["text"]


def read(folder, **options):
    return Reader(write_page(folder, **options).read_text(encoding="utf-8"))


def content(address):
    kind, _, data = address.partition(";base64,")
    return kind, base64.b64decode(data, validate=True)
