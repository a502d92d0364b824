"""The report as Markdown: a person can read it where it lies, or paste it into a wiki."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpc_sweep.report import wording
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

if TYPE_CHECKING:
    from hpc_sweep.report.document import Block, Cell, Document, Line, Section


def markdown(document: Document) -> str:
    """Return the whole document; equal inputs give equal text."""
    partial = f"{document.partial}: " if document.partial else ""
    lines = [f"# {partial}{wording.text(document.title)}", "", _line(document.lead), ""]
    lines += [text for section in document.sections for text in _section(section)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _section(section: Section) -> list[str]:
    lines = [f"## {section.title}", ""]
    for block, after in zip(section.blocks, (*section.blocks[1:], None), strict=True):
        lines += _block(block)
        if not (isinstance(block, Notice | Finding) and isinstance(after, type(block))):
            lines.append("")
    return lines


def _block(block: Block) -> list[str]:  # noqa: PLR0911 because each kind of block has its own lines
    """Return the lines of a block, without the empty one that ends it."""
    match block:
        case Paragraph(line):
            return [_line(line)]
        case Items(lines):
            return [f"- {_line(line)}" for line in lines]
        case Notice(kind, text, remedy):
            mend = f" Mend: {wording.text(remedy)}." if remedy else ""
            return [f"- **{kind.replace('_', ' ')}**: {wording.text(text)}{mend}"]
        case Finding(grade, text):
            return [f"- **{grade}**: {wording.text(text)}"]
        case Table():
            return _table(block)
        case Figure(picture):
            words = f"{wording.text(picture.title)}. {wording.text(picture.caption)}"
            return [f"![{words}](plots/{picture.name})"]
        case Command(text):
            return ["```sh", text, "```"]
        case Card():
            return _card(block)


def _card(card: Card) -> list[str]:
    """Return the pick as a quotation and its honesty box as a list."""
    values = ", ".join(wording.code(f"{name}={value}") for name, value in card.configuration)
    facts = ", ".join(f"{fact.name} {fact.value}".strip() for fact in card.facts)
    notes = [f"> {fact.name}: {fact.note}" for fact in card.facts if fact.note]
    return [
        f"> **{card.runs}**: {values or 'the only configuration'}",
        ">",
        f"> **{wording.text(card.metric)} = {card.score}** {card.when}, {facts}",
        ">",
        *(line for note in notes for line in (note, ">")),
        f"> Verdict: **{card.verdict}**: {card.verdict_text}",
        "",
        "How far to trust it:",
        "",
        *(f"- {_line(line)}" for line in card.honesty),
    ]


def _table(table: Table) -> list[str]:
    rows = [
        [f"**{text}**" if table.marked.get(index) == "the pick" and text else text for text in map(_cell, row)]
        for index, row in enumerate(table.rows[: table.limit])
    ]
    return wording.table([_line(title) for title in table.header], rows)[:-1]


def _cell(cell: Cell) -> str:
    return _line(cell.content)


def _line(line: Line) -> str:
    return "".join(_inline(part) for part in line)


def _inline(part: str | Code | Strong | Link) -> str:
    match part:
        case str():
            return wording.text(part) if part.strip() == part else _padded(part)
        case Code(text):
            return wording.code(text)
        case Strong(text):
            return f"**{wording.text(text)}**"
        case Link(text, target):
            return f"[{wording.text(text)}]({target})"


def _padded(text: str) -> str:
    """Return text with the spaces at its ends, which join it to its neighbours."""
    if not text.strip():
        return " "
    return " " * (text[0] == " ") + wording.text(text) + " " * (text[-1] == " ")
