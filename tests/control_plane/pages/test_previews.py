"""What a preview says on the page: in words and marks, masked values never, what hides labelled."""

from __future__ import annotations

import pytest

from control_plane.chalicelib.pages.previews import preview_view
from tests.control_plane.pages.site import REQUEST, Browser, Site
from tests.control_plane.pages.test_review import form
from twokeys.preview import Cell, Column, Lock, Plan, Preview, Row, SideEffect, preview_digest, to_bytes

COLUMNS = [Column(name="id", key=True), Column(name="note"), Column(name="total", assigned=True)]
CHANGED = Row(
    before=[Cell(text="4"), Cell(null=True), Cell(text="9.00")],
    after=[Cell(text="4"), Cell(null=True), Cell(text="10.50")],
)
UPDATE = Preview(
    action="UPDATE", target="public.orders", rows=23, columns=COLUMNS, sample=[CHANGED],
    plan=Plan(node="Seq Scan on orders", rows=1200, cost="34.50"),
    effects=[SideEffect(kind="trigger", name="audit", does="calls public.log() after each row")],
    notes=["Triggers that fire before each row may change the new values."],
)  # fmt: skip
ALTER = Preview(
    action="ALTER TABLE",
    locks=[Lock(on="orders", mode="ACCESS EXCLUSIVE", blocks="Everybody waits, plain SELECTs too.")],
)


def test_a_change_is_told_by_marks_and_words() -> None:
    view = preview_view(UPDATE)
    assert view.headline == "It would change 23 rows in public.orders"
    assert [heading.name for heading in view.headings] == ["id", "total", "note"]
    assert [cell.how for cell in view.rows[0]] == ["same", "changed", "same"]
    assert view.more == "22 more rows not shown."
    assert "1,200 rows, cost 34.50" in view.plan


@pytest.mark.parametrize(
    ("preview", "headline"),
    [
        (Preview(action="DELETE", rows=1), "It would delete 1 row"),
        (Preview(action="INSERT", target="t"), "How many rows it would add in t is not known"),
        (Preview(action="DO", body="x"), "Its source"),
        (ALTER, "It takes locks"),
        (Preview(action="GRANT", why=["It can't be."]), "Not previewed"),
    ],
)
def test_the_headline_says_what_is_known(preview: Preview, headline: str) -> None:
    assert preview_view(preview).headline == headline


def test_of_rows_some_of_which_go_it_is_seen_without_colours_which(site: Site, rob: Browser) -> None:
    gone = Row(before=[Cell(text="5"), Cell(null=True), Cell(text="1.00")])
    merge = Preview(action="MERGE", target="public.orders", rows=2, columns=COLUMNS, sample=[CHANGED, gone])
    delete = Preview(action="DELETE", target="public.orders", rows=1, columns=COLUMNS, sample=[gone])
    assert preview_view(merge).is_mixed and not preview_view(delete).is_mixed
    for preview, mixed in ((merge, True), (delete, False)):
        site.desk.previews[REQUEST] = preview
        assert ('class="rows mixed"' in rob.get(f"/r/{REQUEST}").text) is mixed


def test_what_is_masked_is_never_said_to_stay_the_same() -> None:
    masked = Row(before=[Cell(masked=True)], after=[Cell(masked=True)])
    columns = [Column(name="email", assigned=True)]
    (cell,) = preview_view(Preview(action="UPDATE", columns=columns, sample=[masked])).rows[0]
    assert cell.how == "hidden"


def test_a_value_that_was_cut_may_differ_behind_the_cut() -> None:
    cut = Row(before=[Cell(text="x", cut=True)], after=[Cell(text="x", cut=True)])
    columns = [Column(name="body", assigned=True)]
    (cell,) = preview_view(Preview(action="UPDATE", columns=columns, sample=[cut])).rows[0]
    assert cell.how == "changed"


def test_the_page_shows_it_and_the_form_names_it(site: Site, rob: Browser) -> None:
    site.desk.previews[REQUEST] = UPDATE
    text = rob.get(f"/r/{REQUEST}").text
    for words in ("It would change 23 rows", "<del>", "<ins>", "9.00", "10.50", "audit", "Seq Scan on orders"):
        assert words in text
    digest = preview_digest(to_bytes(UPDATE))
    assert f'name="preview_digest" value="{digest}"' in text
    assert rob.post(f"/r/{REQUEST}/decision", form(rob, preview_digest=digest)).status == 303


def test_a5_a_form_that_shows_another_preview_decides_nothing(site: Site, rob: Browser) -> None:
    site.desk.previews[REQUEST] = UPDATE
    rob.get(f"/r/{REQUEST}")
    for other in ("", "0" * 64, "\u00e9"):
        assert rob.post(f"/r/{REQUEST}/decision", form(rob, preview_digest=other)).status == 403
    assert site.desk.requests[REQUEST].is_pending


def test_what_hides_in_a_value_is_labelled_and_markup_is_text(site: Site, rob: Browser) -> None:
    row = Row(after=[Cell(text="<script>alert(1)</script>\u202e")])
    site.desk.previews[REQUEST] = Preview(action="INSERT", columns=[Column(name="<b>")], sample=[row])
    text = rob.get(f"/r/{REQUEST}").text
    assert "<script>alert" not in text and "&lt;script&gt;" in text and "<b>" not in text
    assert "U+202E right-to-left override" in text
