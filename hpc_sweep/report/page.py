"""The report as one HTML file: it needs no network, runs no foreign script, and shows every text as text."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from hpc_sweep.report.document import (
    Card,
    Code,
    Command,
    Figure,
    Finding,
    Items,
    Link,
    Notice,
    Paragraph,
    Strong,
    Table,
)
from hpc_sweep.report.drawing import PAGE_THEME
from hpc_sweep.report.gauge import gauge
from hpc_sweep.report.markup import Html, data_script, element, join

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpc_sweep.report.document import Block, Cell, Document, Line, Section
    from hpc_sweep.report.drawing import Picture

_GRADES = {"supported": "supported", "suggestive": "suggestive", "not resolved": "unresolved"}
_HALF = frozenset({"fit", "cost"})
"""Sections that stand side by side on a wide page."""

_NO_SCRIPT = "The charts need scripts, which run offline from this file. The same pictures are in the folder plots."


def page(document: Document) -> str:
    """Return the whole file; equal documents give equal text."""
    charts: dict[str, Any] = {"theme": PAGE_THEME, "specs": [], "own": []}
    body = join([_header(document), _contents(document), _main(document, charts)])
    style, library, script = (_asset(name) for name in ("page.css", "vega.js", "page.js"))
    head = join(
        [
            element("meta", charset="utf-8"),
            element("meta", http_equiv="Content-Security-Policy", content=_policy(style, library, script)),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="color-scheme", content="light dark"),
            element("meta", name="referrer", content="no-referrer"),
            element("title", f"{document.partial} {document.title}".strip()),
            Html(f"<style>{style}</style>"),
        ]
    )
    scripts = join(
        [data_script("charts", charts), Html(f"<script>{library}</script>"), Html(f"<script>{script}</script>")]
    )
    whole = element("html", element("head", head), element("body", body, scripts), lang="en")
    return f"<!DOCTYPE html>\n{whole.markup}\n"


@cache
def _asset(name: str) -> str:
    return resources.files("hpc_sweep.report").joinpath("assets", name).read_text(encoding="utf-8")


def _policy(style: str, *scripts: str) -> str:
    """Return what the file may do: its own style and scripts, by their digests, and pictures in itself."""
    told = " ".join(map(_digest, scripts))
    return (
        f"default-src 'none'; script-src {told}; style-src {_digest(style)}; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def _digest(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _header(document: Document) -> Html:
    partial = element("strong", document.partial, class_="partial") if document.partial else ""
    toggle = element("button", "Dark", type="button", id="theme", aria_pressed="false", class_="quiet")
    return element(
        "header",
        element("div", element("h1", partial, " " if document.partial else "", document.title), toggle, class_="bar"),
        element("p", _line(document.lead), class_="lead"),
        element("noscript", element("p", _NO_SCRIPT, class_="notice")),
    )


def _contents(document: Document) -> Html:
    links = [element("li", element("a", one.title, href=f"#{one.name}")) for one in document.sections]
    return element("nav", element("ul", *links), aria_label="Sections")


def _main(document: Document, charts: dict[str, Any]) -> Html:
    return element("main", *(_section(one, charts) for one in document.sections))


def _section(section: Section, charts: dict[str, Any]) -> Html:
    blocks, parts = list(section.blocks), []
    while blocks:
        kind = type(blocks[0])
        same = [blocks.pop(0)]
        while kind in {Notice, Finding} and blocks and isinstance(blocks[0], kind):
            same.append(blocks.pop(0))
        parts.append(_group(same, charts))
    return element(
        "section",
        element("h2", section.title),
        *parts,
        id=section.name,
        class_="half" if section.name in _HALF else None,
    )


def _group(blocks: Sequence[Block], charts: dict[str, Any]) -> Html:
    """Return one block, or a list of several of the same kind."""
    if isinstance(blocks[0], Notice):
        return element("ul", *(_notice(one) for one in blocks if isinstance(one, Notice)), class_="notices")
    if isinstance(blocks[0], Finding):
        return element("ul", *(_finding(one) for one in blocks if isinstance(one, Finding)), class_="findings")
    return _block(blocks[0], charts)


def _block(block: Block, charts: dict[str, Any]) -> Html:  # noqa: PLR0911 because each kind has its own element
    match block:
        case Paragraph(line):
            return element("p", _line(line))
        case Items(lines):
            return element("ul", *(element("li", _line(line)) for line in lines))
        case Table():
            return _table(block)
        case Figure(picture):
            return _figure(picture, charts)
        case Command(text):
            return element("pre", element("code", text), tabindex="0")
        case Card():
            return _card(block)
        case Notice() | Finding():
            return _group([block], charts)


def _notice(notice: Notice) -> Html:
    name = element("strong", notice.kind.replace("_", " "), class_="kind")
    mend = element("span", element("b", "Mend: "), notice.remedy, class_="remedy") if notice.remedy else ""
    return element("li", name, " ", notice.text, mend)


def _finding(finding: Finding) -> Html:
    grade = element("strong", finding.grade, class_=f"grade {_GRADES[finding.grade]}")
    return element("li", grade, " ", element("span", finding.text))


def _card(card: Card) -> Html:
    chips = [element("li", element("span", name), " ", element("code", value)) for name, value in card.configuration]
    facts = [element("div", element("dt", fact.name.rstrip(" =:")), element("dd", fact.value)) for fact in card.facts]
    score = element(
        "div",
        element(
            "p",
            element("span", card.metric, class_="metric"),
            element("span", card.score, class_="value"),
            class_="score",
        ),
        element("p", f"observed, {card.when}", class_="when"),
        gauge(card.interval, card.metric) if card.interval else "",
    )
    verdict = element(
        "p",
        element("strong", card.verdict, class_=f"verdict {card.verdict.split(',')[0].replace(' ', '-')}"),
        ": ",
        card.verdict_text,
    )
    who = element(
        "div", element("p", element("b", card.runs), class_="runs"), element("ul", *chips, class_="chips"), verdict
    )
    trust = [element("li", _line(line)) for line in card.honesty]
    box = element("div", element("h3", "How far to trust it"), element("ul", *trust), class_="honesty")
    return element(
        "div", element("div", who, score, class_="winner"), element("dl", *facts, class_="facts"), box, class_="card"
    )


def _table(table: Table) -> Html:
    head = element("tr", *(_heading(title, sortable=table.sortable) for title in table.header))
    rows = [_row(row, table.marked.get(at, ""), at) for at, row in enumerate(table.rows)]
    whole = element(
        "table",
        element("thead", head),
        element("tbody", *rows),
        id=f"table-{table.name}",
        class_="sortable" if table.sortable else None,
        data_limit=str(table.limit) if table.limit else None,
    )
    return element("div", whole, class_="scroll", tabindex="0", role="region", aria_label=f"Table: {table.name}")


def _heading(title: Line, *, sortable: bool) -> Html:
    shown = _line(title) if any(title) and title != ("",) else element("span", "state", class_="hidden")
    if not sortable:
        return element("th", shown, scope="col")
    return element("th", element("button", shown, type="button"), scope="col", aria_sort="none")


def _row(row: Sequence[Cell], mark: str, at: int) -> Html:
    cells = [
        element(
            "td",
            _line(cell.content),
            class_="number" if cell.numeric else None,
            data_key=repr(cell.key) if cell.key is not None else None,
        )
        for cell in row
    ]
    return element("tr", *cells, class_={"the pick": "pick", "tied": "tied"}.get(mark), data_rank=str(at + 1))


def _figure(picture: Picture, charts: dict[str, Any]) -> Html:
    words = f"{picture.title}. {picture.caption}"
    name = picture.name.removesuffix(".png")
    if picture.own:
        charts["own"].append(picture.own)
        drawn = element("div", class_="strands", data_own=str(len(charts["own"]) - 1), data_words=words)
        return _framed(picture, name, drawn)
    panels = []
    for spec in picture.specs():
        panels.append(element("div", class_="chart", role="img", aria_label=words, data_spec=str(len(charts["specs"]))))
        charts["specs"].append(spec)
    kind = "panels" if len(panels) > 1 else "panel" if picture.wide else "panel fixed"
    return _framed(picture, name, element("div", *panels, class_=kind))


def _framed(picture: Picture, name: str, drawn: Html) -> Html:
    words = element("figcaption", element("b", picture.title), element("br"), picture.caption)
    return element("figure", words, drawn, id=f"figure-{name}")


def _line(line: Line) -> Html:
    return join(_inline(part) for part in line)


def _inline(part: str | Code | Strong | Link) -> Html:
    match part:
        case str():
            return join([part])
        case Code(text):
            return element("code", text)
        case Strong(text):
            return element("strong", text)
        case Link(text, target):
            return element("a", text, href=target)
