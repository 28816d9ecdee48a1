"""Check my pictures: uploads, captions, controls, results and downloads."""

import io
import json
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from dashboard.charts import bars
from dashboard.charts.style import HUES
from dashboard.components.uploads import plain
from dashboard.services import changes, compare_items, controls_for, demo_drawings, pair_data
from muc_core.comparison import Comparison
from muc_core.data.demo import demo_split

Upload = tuple[str, bytes, str]


def png(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(buffer, "PNG")
    return buffer.getvalue()


def upload(name: str, colour: str) -> Upload:
    return name, png(colour), "image/png"


@pytest.fixture
def page(app: AppTest) -> AppTest:
    return app.run().switch_page("app_pages/check_my_pictures.py").run()


def button(page: AppTest, label: str) -> None:
    next(element for element in page.button if element.label == label).click()


def charts(page: AppTest) -> list[dict[str, object]]:
    return [json.loads(element.proto.spec) for element in page.get("plotly_chart")]


def captions(page: AppTest) -> list[str | None]:
    return list(page.data_editor[0].value["Caption"])


def numbers(page: AppTest) -> pd.DataFrame:
    table: pd.DataFrame = page.dataframe[-1].value
    return table


def test_three_drawings_of_the_demo(page: AppTest) -> None:
    button(page, "Try with three drawings of the demo")
    page.run()
    drawings = demo_drawings(3)
    assert set(drawings.ids) <= set(demo_split().forget)
    assert captions(page) == list(drawings.texts)
    own = changes("demo-clip", "demo-clip-ac").forget
    assert own is not None
    rows = [own.ids.index(item_id) for item_id in drawings.ids]
    assert np.allclose(numbers(page)["Before"], own.before[rows], atol=1e-5)
    assert np.allclose(numbers(page)["After"], own.after[rows], atol=1e-5)
    assert len(charts(page)) == 2
    assert page.subheader[0].value.startswith("Your 3 pictures are ")
    assert "Pictures never trained on: " in page.subheader[0].value


def test_uploads_are_captioned_by_their_names_and_bad_ones_named(page: AppTest) -> None:
    page.file_uploader[0].set_value(
        [upload("red_car.png", "red"), ("no*picture.png", b"hello", "image/png"), upload("blue_bird-2.png", "blue")]
    )
    page.run()
    assert captions(page) == ["red car", "blue bird"]
    assert page.warning[0].value.startswith("1 file was not used; the others go on.")
    assert r"no\*picture.png is not a picture" in page.warning[0].value
    assert list(numbers(page)["Name"]) == ["red car", "blue bird"]
    assert not page.exception


def test_without_captions_changed_copies_are_compared_and_it_is_said(page: AppTest) -> None:
    page.file_uploader[0].set_value([upload("red_car.png", "red"), upload("blue_bird.png", "blue")])
    page.run()
    page.toggle(key="guess_captions").set_value(False).run()
    assert captions(page) == [None, None]
    assert [info.value for info in page.info if "2 of 2 items have no caption" in info.value]
    assert "changed copies" in page.subheader[0].value


def test_a_single_picture_has_bars_and_no_matrices(page: AppTest) -> None:
    page.file_uploader[0].set_value([upload("red_car.png", "red")])
    page.run()
    assert len(charts(page)) == 1
    assert [info.value for info in page.info if "only one item" in info.value]
    assert page.subheader[0].value.startswith("Your picture is ")


def test_a_zip_brings_its_captions(page: AppTest) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.png", png("red"))
        archive.writestr("b.png", png("blue"))
        archive.writestr("captions.csv", "file,caption\na.png,a red square\nb.png,a blue square\n")
    page.file_uploader[0].set_value([("mine.zip", buffer.getvalue(), "application/zip")])
    page.run()
    assert captions(page) == ["a red square", "a blue square"]


def test_when_nothing_can_be_used_there_is_no_result(page: AppTest) -> None:
    page.file_uploader[0].set_value([("a.png", b"hello", "image/png")])
    page.run()
    assert page.warning[0].value.startswith("1 file was not used.")
    assert not charts(page)
    assert not page.error


def test_uploads_stay_when_another_page_is_looked_at(page: AppTest) -> None:
    page.file_uploader[0].set_value([upload("red_car.png", "red"), upload("blue_bird.png", "blue")])
    page.run()
    page.switch_page("app_pages/tune.py").run()
    page.switch_page("app_pages/check_my_pictures.py").run()
    assert captions(page) == ["red car", "blue bird"]
    button(page, "Start anew")
    page.run()
    assert not page.data_editor
    assert not charts(page)


@pytest.fixture
def comparison(app: AppTest) -> Comparison:
    items = demo_drawings(3)
    return compare_items(
        "demo-clip", "demo-clip-ac", items, controls_for(items, pair_data("demo-clip", "demo-clip-ac"))
    )


def test_controls_are_the_held_out_set_without_the_items(app: AppTest) -> None:
    data = pair_data("demo-clip", "demo-clip-ac")
    controls = controls_for(demo_drawings(3), data)
    assert controls is not None
    assert controls.ids == demo_split().held_out
    assert not set(controls.ids) & set(demo_split().train)
    some = controls.subset(controls.ids[:5])
    others = controls_for(some, data)
    assert others is not None
    assert others.ids == controls.ids[5:]


def test_bars_are_pale_before_and_solid_after_with_the_band_of_the_controls(comparison: Comparison) -> None:
    figure = bars.before_after_bars(comparison, ["data:,"] * 3, dark=False)
    before, after, *dots = figure.data
    assert (before.marker.color, after.marker.color) == (f"{HUES['uploads']}40", HUES["uploads"])
    assert np.allclose(before.x, comparison.before.items.positive)
    assert np.allclose(after.x, comparison.after.items.positive)
    assert comparison.controls is not None
    assert np.allclose(dots[1].x, comparison.controls.after.positive)
    band = [shape for shape in figure.layout.shapes if shape.type == "rect"][1]
    values = comparison.controls.after.positive
    assert (band.x0, band.x1) == pytest.approx((values.mean() - values.std(ddof=1), values.mean() + values.std(ddof=1)))
    assert band.fillcolor == HUES["controls"]


def test_the_title_of_the_bars_counts_pictures_beside_the_controls(comparison: Comparison) -> None:
    title = bars.before_after_bars(comparison, ["data:,"] * 3, dark=True).layout.title.text.replace("<br>", " ")
    assert comparison.controls is not None
    values = comparison.controls.after.positive
    low, high = values.mean() - values.std(ddof=1), values.mean() + values.std(ddof=1)
    within = sum(low <= value <= high for value in comparison.after.items.positive)
    assert f"{within} of 3 within" in title


@pytest.mark.parametrize("text", ["a*b_c", "[x](http://y)", ":red[z]", "$1$ <b>", "`code`", "#1 ~2~"])
def test_plain_text_has_no_markdown_left(text: str) -> None:
    escaped = plain(text)
    assert escaped.replace("\\", "") == text
    for sign in "*_[]()<>`$~#:":
        assert escaped.count(sign) == escaped.count(f"\\{sign}")
