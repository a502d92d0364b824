"""Hostile names and errors stay text in Markdown and in the shell."""

from __future__ import annotations

import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from markdown_it import MarkdownIt

from hpc_sweep.report.wording import code, number, production_command, table, text

HOSTILE = [
    *(
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[a](javascript:alert(1))",
        "![x](http://e.x/p.png)",
    ),
    *(
        "`code`",
        "``",
        "a|b|c",
        "**bold**",
        "_under_score_",
        "~~gone~~",
        "$x^2$",
        "&lt;b&gt;",
        "&#60;b>",
        "a\\",
        "\\|",
        "\\`",
    ),
    *(
        "one\ntwo",
        "one\r\n\r\n# head",
        "\n---\n",
        "| a | b |\n|---|---|",
        "http://evil.example",
        "<http://evil.example>",
    ),
    *(
        "www.evil.example",
        "tab\tbed",
        "\x1b[31mred",
        "\u202egnp.exe",
        "\udc80",
        "\u2028x",
        "]: http://x",
        "<!-- -->",
        "1. x",
    ),
]


def rendered(markdown):
    """Return the HTML that a reader of GitHub's tables would see."""
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown)


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("write", [text, code])
def test_hostile_text_stays_text_in_a_table(hostile, write):
    """A cell makes no tag, no link, no picture, no second cell and no second row."""
    html = rendered("\n".join(table(["a", "b"], [["x", write(hostile)]])))

    assert html.count("<td") == 2
    assert html.count("<tr>") == 2
    for tag in (
        "<script",
        "<img",
        "<a ",
        "<em",
        "<strong",
        "<del",
        "<s>",
        "<h1",
        "<hr",
        "<!--",
        'javascript:alert(1)"',
    ):
        assert tag not in html


@pytest.mark.parametrize("hostile", ["<b>&amp;", "a|b", "*x* _y_ `z`", "\\", "[x](y)", "~~a~~", "a\\|b", "$1$"])
def test_text_shows_what_was_there(hostile):
    """Escaping changes the source, not what is read."""
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse("x " + text(hostile))

    shown = "".join(child.content for token in tokens for child in token.children or ())
    assert shown == "x " + hostile


def test_lone_surrogates_do_not_reach_the_file():
    """What has no UTF-8 is replaced, because the file must be readable."""
    assert text("a\udc80b").encode() == "a\ufffdb".encode()


def test_long_text_is_cut():
    """A limit counts what is read, with an ellipsis in its last place."""
    assert text("x" * 500, limit=10) == "x" * 9 + "…"


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.5, "0.5000"), (-12.34567, "-12.3457"), (0, "0.0000"), (1e9, "1e+09"), (2e-7, "2e-07"), (None, "-")],
)
def test_number(value, written):
    """Numbers have four decimals while these tell something."""
    assert number(value) == written


@pytest.mark.parametrize(
    "folder",
    [
        *(
            "/a/b",
            "outputs/task11/2026-01-02T10:00:00Z",
            "/with space/x",
            "/it's",
            "/a=b,c",
            "/back\\slash",
            "/end\\",
            "/q'\\'",
        ),
        *("/${oops}", "/$HOME", "/a;rm -rf", "/[x]{y}", '/"quoted"', "/é ü"),
    ],
)
def test_production_command_survives_the_shell_and_hydra(folder):
    """What is pasted into a shell arrives in Hydra as the folder that was meant."""
    python, script, *override = shlex.split(production_command(folder))

    assert (python, script, len(override)) == ("python", "jobs/production.py", 1)
    assert OverridesParser.create().parse_override(override[0]).value() == folder
