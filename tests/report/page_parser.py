"""Reads a report's HTML: cells by data-id, sections, and alarms by rule with their gravity."""

from html.parser import HTMLParser


class Page(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.cells: list[tuple[str, str]] = []
        self.sections: list[str] = []
        self.alarms: dict[str, str] = {}
        self._depth = 0  # of tags inside the current cell
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        by_name = dict(attributes)
        if "data-id" in by_name:
            self.cells.append((by_name["data-id"], ""))
            self._depth = 1
        elif self._depth:
            self._depth += 1
        if "data-rule" in by_name:
            self.alarms[by_name["data-rule"]] = by_name["class"]
        if tag == "section":
            self.sections.append(by_name["id"])

    def handle_endtag(self, _tag: str) -> None:
        self._depth = max(0, self._depth - 1)

    def handle_data(self, data: str) -> None:
        if self._depth:
            name, text = self.cells[-1]
            self.cells[-1] = name, text + data
