"""What only a real browser shows: a click on a cell reaches the page, and a picture appears at its point."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser import PATIENCE_MS, Server, open_page, settle

pytestmark = pytest.mark.e2e


def test_a_click_on_a_cell_of_the_gap_shows_the_pair(server: Server, watched: Page) -> None:
    page = watched
    page.goto(server.url)
    settle(page)
    open_page(page, "Matrices")
    # The demo has a Retrain, so the gap is the fourth matrix.
    panel = page.locator(".js-plotly-plot .nsewdrag").nth(3)
    expect(panel).to_be_visible(timeout=PATIENCE_MS)
    settle(page)
    row, column = (page.get_by_role("combobox", name=name) for name in ("Row", "Column"))
    expect(row).to_have_value(column.input_value())
    panel.scroll_into_view_if_needed()
    box = panel.bounding_box()
    assert box is not None
    # Cell (40, 100) of 150 x 150, far from the diagonal.
    x, y = box["x"] + box["width"] * 100.5 / 150, box["y"] + box["height"] * 40.5 / 150
    page.mouse.move(x - 2, y)
    page.mouse.move(x, y)
    label = page.locator(".js-plotly-plot .hoverlayer").nth(3)
    expect(label).to_contain_text("before minus after")
    page.mouse.click(x, y)
    settle(page)
    expect(row).not_to_have_value(column.input_value())
    expect(page.get_by_text("the caption of another picture")).to_be_visible()
    expect(page.get_by_text(f"picture of “{row.input_value()}”")).to_be_visible()
    expect(page).to_have_url(re.compile("matrices_row="))
    expect(page).to_have_url(re.compile("matrices_column="))


def test_a_box_on_a_matrix_lists_its_rows(server: Server, watched: Page) -> None:
    page = watched
    page.goto(f"{server.url}/matrices?matrices_drag=true&matrices_items=category:animal-bird")
    settle(page)
    panel = page.locator(".js-plotly-plot .nsewdrag").first
    expect(panel).to_be_visible(timeout=PATIENCE_MS)
    panel.scroll_into_view_if_needed()
    box = panel.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"]
    page.mouse.move(x, y + box["height"] * 0.3)
    page.mouse.down()
    page.mouse.move(x + 20, y + box["height"] * 0.5, steps=5)
    page.mouse.up()
    settle(page)
    expect(page.get_by_text(re.compile(r"Pictures of the \d+ selected rows"))).to_be_visible()


def test_a_point_of_the_map_shows_its_picture(server: Server, watched: Page) -> None:
    page = watched
    page.goto(server.url)
    settle(page)
    open_page(page, "Embedding map")
    chart = page.locator(".vega-embed canvas, .vega-embed svg").first
    expect(chart).to_be_visible(timeout=PATIENCE_MS)
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None
    picture = page.locator('#vg-tooltip-element.visible img[src^="data:image/webp"]')
    for step in range(400):  # there and back, for the chart may be drawn before it answers
        page.mouse.move(box["x"] + box["width"] * (0.3 + step % 40 / 100), box["y"] + box["height"] * 0.6)
        page.wait_for_timeout(50)
        if picture.count():
            break
    expect(picture).to_be_visible()
    expect(picture).to_have_js_property("naturalWidth", 48)


def test_a_loop_on_one_map_selects_the_same_pictures_on_the_other(server: Server, watched: Page) -> None:
    page = watched
    page.goto(f"{server.url}/embedding_map?map_view=side+by+side,+with+a+lasso")
    settle(page)
    panels = page.locator(".js-plotly-plot .nsewdrag")
    expect(panels).to_have_count(2, timeout=PATIENCE_MS)
    panels.first.scroll_into_view_if_needed()
    box = panels.first.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for across, down in ((60, 0), (60, 60), (0, 60), (0, 0)):
        page.mouse.move(x + across, y + down, steps=4)
    page.mouse.up()
    settle(page)
    expect(page.get_by_text(re.compile(r"\d+ pictures selected"))).to_be_visible()
    faint = page.locator(".js-plotly-plot").nth(1).locator(".point[style*='opacity: 0.12']")
    expect(faint.first).to_be_attached()


def test_the_slider_carries_the_points_without_a_rerun(server: Server, watched: Page) -> None:
    page = watched
    page.goto(f"{server.url}/embedding_map?map_view=moving")
    settle(page)
    chart = page.locator(".js-plotly-plot")
    expect(chart).to_be_visible(timeout=PATIENCE_MS)
    where = "JSON.stringify(Array.from(document.querySelector('.js-plotly-plot').data[0].x).slice(0, 5))"
    before = page.evaluate(where)
    rail = chart.locator(".slider-rail-touch-rect")
    rail.scroll_into_view_if_needed()
    box = rail.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] * 0.98, box["y"] + box["height"] / 2)
    page.wait_for_function(f"before => {where} !== before", arg=before)
