"""The report in a browser: offline, silent, usable by mouse and keyboard, readable by everybody, deaf to texts."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from hpc_sweep.ledger import read_ledger
from hpc_sweep.report.collect import written
from tests.browser.conftest import required
from tests.builders import ACCURACY, Design, build, configuration, diverged, failed, finish, plan_sweep

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

GRID = {"dropout": [0.3, 0.4, 0.5], "lr": [0.001, 0.0005, 0.0001], "opt": ["adam", "sgd"]}
CLASSES = ["cel", "flu", "gac"]
SEVERE = {"serious", "critical"}

HOSTILE = [
    *(
        "<script>document.title='owned'</script>",
        "<img src=x onerror=document.title='owned'>",
        "</script><script>alert(1)",
    ),
    *("<svg onload=alert(1)>", "<!--", "-->", "]]>", "<![CDATA[", "</title><h1>", "</style><style>*{display:none}"),
    *(
        '"><b id=owned>',
        "'><b id=owned>",
        "` onmouseover=alert(1)",
        "javascript:alert(1)",
        "data:text/html,<b>",
        "&lt;b&gt;",
    ),
    *("&#60;b&#62;", "&amp;", "&", "<", ">", '"', "'", "`", "\\", "/", "//", "/*", "*/", "${7*7}", "{{7*7}}", "#{7*7}"),
    *(
        "<%= 7*7 %>",
        "%3Cscript%3E",
        "\\u003cscript\\u003e",
        "\u2028",
        "\u2029",
        "\u202eevil",
        "\u0000",
        "\u0007",
        "\x1b[31m",
    ),
    *("\ud800", "\ufeff", "a\nb", "a\r\nb", "a\tb", " ", "", "datum.x", "x:Q", "a.b[0]", "__proto__", "constructor"),
    *(
        "toString",
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "<iframe src=//x>",
        "<object data=x>",
        "<math><mtext></p>",
        "<a href=x>",
    ),
    *(
        "<base href=//x>",
        "<meta http-equiv=refresh content=0>",
        "<form><button>",
        "é λ 音 🎻",
        "x" * 400,
        "[z](javascript:1)",
    ),
]


def ending(params, seed):
    """Return a trial with everything that a report shows."""
    score = 0.6 + 10 * params["lr"] - abs(params["dropout"] - 0.4) / 5 + (params["opt"] == "adam") / 50 + seed / 500
    if params["dropout"] == 0.5 and params["opt"] == "sgd" and params["lr"] == 0.0001:
        return failed("signal 9", "killed")
    curve = [score - 0.3 / (epoch + 1) for epoch in range(8)]
    train = [value + 0.03 * epoch / 8 for epoch, value in enumerate(curve)]
    right = round(30 * curve[-1])
    confusion = [[right, 30 - right, 0], [2, 28 - seed, seed], [1, 1, 28]]
    return {
        "metrics": {"val/accuracy": curve[-1], "train/accuracy": train[-1], "val/loss": 1 - score},
        "curves": {"val/accuracy": curve, "train/accuracy": train},
        "extras": {"n": {"val": 90}, "val/confusion": confusion, "classes": CLASSES},
        "epochs": 8,
        "seconds": 10.0 + 5 * params["dropout"] + seed,
    }


@pytest.fixture
def sweep(tmp_path):
    """Return a finished sweep of 18 configurations with two replicates, some of which failed."""
    return build(tmp_path / "s", GRID, ending, replicates=(0, 1))


def column(tab, number, table="leaderboard"):
    """Return what a column of a table shows, from top to bottom."""
    return tab.eval_on_selector_all(
        f"#table-{table} tbody tr:not(.away)", f"rows => rows.map(row => row.cells[{number}].textContent)"
    )


def test_opens_offline_without_a_complaint(show, sweep):
    """One file is asked for, which is the report; the console stays empty, and every chart is drawn."""
    shown = show(sweep)

    assert [url for url in shown.requests if not url.startswith("blob:")] == [shown.tab.url]
    assert shown.complaints == []
    charts = shown.tab.eval_on_selector_all(".chart", "all => all.map(one => one.querySelector('svg') !== null)")
    assert len(charts) > 10
    assert all(charts)
    assert shown.tab.title() == "Sweep report: val/accuracy"


def test_policy_refuses_every_foreign_script(show, sweep):
    """A script that is put into the page does not run: the policy names ours by their digests."""
    shown = show(sweep)
    shown.tab.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {text: 'window.owned = 1'}))"
    )

    assert shown.tab.evaluate("window.owned") is None
    assert any("Content Security Policy" in said for said in shown.complaints)
    assert shown.tab.evaluate("fetch('https://example.org').then(() => 'sent', () => 'refused')") == "refused"


def test_headings_sort_by_number_and_by_keyboard(show, sweep):
    """A click on a heading sorts up, another one down; Enter does the same; empty cells stay last."""
    tab = show(sweep).tab
    tab.click("#table-leaderboard thead th:nth-child(6) button")
    up = [float(text) for text in column(tab, 5)]
    tab.focus("#table-leaderboard thead th:nth-child(6) button")
    tab.keyboard.press("Enter")
    down = [float(text) for text in column(tab, 5)]

    assert up == sorted(up)
    assert down == sorted(down, reverse=True)
    assert len(up) == 17
    assert tab.get_attribute("#table-leaderboard thead th:nth-child(6)", "aria-sort") == "descending"


def test_brush_by_keyboard_keeps_what_is_inside(show, sweep):
    """An arrow key on an axis keeps the lines of one level, and the leaderboard's rows with them; Escape ends it."""
    tab = show(sweep).tab
    tab.focus(".strands g.axis:nth-of-type(1)")
    tab.keyboard.press("ArrowUp")

    assert set(column(tab, 2)) == {"0.3"}
    assert tab.locator(".strands path.out").count() == 17 - len(column(tab, 2))
    assert "within the brush" in tab.text_content("#leaderboard")
    tab.keyboard.press("Escape")
    assert len(column(tab, 2)) == 17


def test_brush_by_mouse_keeps_what_is_inside(show, sweep):
    """Dragging over the upper half of the metric's axis keeps the better half; a click on it ends the brush."""
    tab = show(sweep).tab
    catcher = tab.locator(".strands g.axis").last.locator(".catch")
    catcher.scroll_into_view_if_needed()
    box = catcher.bounding_box()
    middle = box["x"] + box["width"] / 2
    tab.mouse.move(middle, box["y"] + 8)
    tab.mouse.down()
    tab.mouse.move(middle, box["y"] + box["height"] / 2, steps=5)
    tab.mouse.up()
    kept = column(tab, 0)

    assert 0 < len(kept) < 17
    assert "1" in kept
    tab.mouse.click(middle, box["y"] + box["height"] / 3)
    assert len(column(tab, 0)) == 17


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(show, sweep, scheme):
    """Contrast, names, roles and order hold in light and in dark colours."""
    axe = required("axe_playwright_python.sync_playwright")
    results = axe.Axe().run(show(sweep, color_scheme=scheme, bypass_csp=True).tab)

    found = [one for one in results.response["violations"] if one["impact"] in SEVERE]
    assert [(one["id"], [node["html"][:120] for node in one["nodes"][:3]]) for one in found] == []


def test_toggle_changes_the_colours_and_print_is_always_light(show, sweep):
    """The button goes from light to dark; on paper the page is white."""
    tab = show(sweep).tab
    paper = "getComputedStyle(document.body).backgroundColor"
    light = tab.evaluate(paper)
    tab.click("#theme")
    dark = tab.evaluate(paper)
    tab.emulate_media(media="print")

    assert light != dark
    assert tab.get_attribute("#theme", "aria-pressed") == "true"
    assert tab.evaluate(paper) == "rgb(255, 255, 255)"


def test_phone_does_not_scroll_sideways(show, sweep):
    """At 360 points the page is as wide as the screen; tables scroll in themselves."""
    tab = show(sweep, viewport={"width": 360, "height": 780}).tab

    assert tab.evaluate("document.documentElement.scrollWidth") <= 360


class OneAtATime(Design):
    """The first level of every hyperparameter, and each one's second level by itself."""

    def cells(self):
        """Return the configurations, each with every replicate."""
        plain = {name: levels[0] for name, levels in self.grid.items()}
        points = [plain, *({**plain, name: levels[1]} for name, levels in self.grid.items())]
        return [(point, seed) for point in points for seed in self.replicates]


@pytest.mark.parametrize("first", range(0, len(HOSTILE), 8))
def test_hyperparameters_with_hostile_names_break_no_chart(show, tmp_path, first):
    """Each of the strings is the name of a hyperparameter and one of its levels: drawn to the page and to PNG files."""
    names = [name for name in HOSTILE[first : first + 8] if name]
    design = OneAtATime({name: ["plain", name] for name in names}, replicates=(1, 2))
    sweep = plan_sweep(tmp_path / "s", design)
    finish(sweep, design, lambda params, seed: [0.3, 0.5 + sum(v != "plain" for v in params.values()) / 10 + seed / 99])
    report = written(sweep, read_ledger(sweep))
    shown = show(sweep)

    assert all(picture.png().startswith(b"\x89PNG") for picture in report.pictures)
    assert [said for said in shown.complaints if "favicon" not in said] == []
    assert shown.tab.title() == "Sweep report: val/accuracy"
    assert shown.tab.locator("#owned, main script, main iframe, main img").count() == 0
    assert (
        shown.tab.locator("#figure-metric-by-hyperparameter svg, #figure-metric-by-hyperparameter canvas").count() > 0
    )


def test_hostile_text_is_shown_as_text(show, tmp_path):
    """Sixty hostile names, levels, errors, classes and versions make no element, run nothing, and break no chart."""
    nasty = [text for text in HOSTILE if text != ""]
    errors = itertools.cycle(nasty)

    def hostile_ending(params, _):
        number = HOSTILE.index(params["level"])
        if number % 5 == 0:
            return failed(next(errors), next(errors))
        if number % 5 == 1:
            return diverged(next(errors))
        metrics = {"val/accuracy": 0.5 + number / 1000, "val/<b>loss": 1.0}
        extras = {"val/confusion": [[3, 1], [1, 3]], "classes": nasty[:2], "n": {"val": 8}}
        return {"metrics": metrics, "extras": extras, "device": next(errors)}

    name = "<img src=x onerror=document.title='owned'>"
    shown = show(build(tmp_path / "s", {"level": HOSTILE, name: [1, 2]}, hostile_ending))

    assert len(HOSTILE) >= 60
    assert [said for said in shown.complaints if "favicon" not in said] == []
    assert shown.tab.title() == "Sweep report: val/accuracy"
    assert (
        shown.tab.locator(
            "#owned, main script, main iframe, main object, main form:not(.vega-bindings), main img, main base"
        ).count()
        == 0
    )
    assert name in shown.tab.text_content("#table-leaderboard thead")
    assert all(shown.tab.eval_on_selector_all(".chart", "all => all.map(one => one.querySelector('svg') !== null)"))


def test_running_sweep_says_so(show, tmp_path):
    """PARTIAL n/N stands in the heading and in the title of the window."""
    half = itertools.count()
    tab = show(build(tmp_path / "s", GRID, lambda p, s: ending(p, s) if next(half) < 9 else None)).tab

    assert tab.title().startswith("PARTIAL 9/18 ")
    assert "PARTIAL 9/18" in tab.text_content("h1")


def test_choice_constraints_and_baseline_are_shown(show, tmp_path):
    """The difference to the named baseline and the metrics that limit the winner have their places."""
    objective = replace(ACCURACY, constraints=("val/loss <= 0.5",), baseline={"dropout": 0.5, "opt": "adam"})
    made = build(tmp_path / "s", GRID, ending, objective=objective, compose=configuration)
    tab = show(made).tab

    assert "dropout=0.5" in tab.text_content("#figure-confusion-difference figcaption")
    assert "val/loss <= 0.5" in tab.text_content("#front")
