"""The whole way in a real Chromium: mail link, sign-in, reading, deciding; phone width; no script."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from tests.control_plane.pages.samples import blob
from tests.control_plane.pages.site import REQUEST, Site, request_view
from tests.control_plane.pages.test_previews import ALTER, UPDATE
from twokeys.command import PostgresCommand, QueryProtocol
from twokeys.copy_data import CopyData, CopyFormat
from twokeys.digest import canonical
from twokeys.preview import Cell, Column, Preview, Row

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed"),
]

LONG = "INSERT INTO prices VALUES\n" + ",\n".join(f"  ({index}, 'a long enough row')" for index in range(900)) + ";"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def context(chromium: Chromium) -> Iterator[BrowserContext]:
    opened = chromium.new_context()
    yield opened
    opened.close()


def open_page(context: BrowserContext, complaints: list[str] | None = None) -> Page:
    page = context.new_page()

    def listen(message: ConsoleMessage) -> None:
        if complaints is not None and message.type in ("error", "warning"):
            complaints.append(message.text)

    page.on("console", listen)
    return page


def sign_in(page: Page, site: Site, person: str = "rob") -> None:
    page.get_by_label("Name").fill(person)
    page.get_by_label("Passphrase").fill(site.passphrases[person])
    page.get_by_role("button", name="Sign in").click()


def test_from_the_link_to_the_approval(site: Site, context: BrowserContext) -> None:
    complaints: list[str] = []
    page = open_page(context, complaints)
    page.goto(f"{site.url}/r/{REQUEST}")
    sign_in(page, site)
    expect(page).to_have_url(f"{site.url}/r/{REQUEST}")
    expect(page.get_by_role("heading", level=1)).to_have_text("agent-7 asks to run UPDATE in sample-db")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("heading", name="Approved")).to_be_visible()
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    assert site.desk.requests[REQUEST].votes[0].person_id == "rob"
    assert complaints == []


def test_a_denial_by_keyboard_alone(site: Site, context: BrowserContext) -> None:
    page = open_page(context)
    page.goto(f"{site.url}/r/{REQUEST}")
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type("rob")
    page.keyboard.press("Tab")
    page.keyboard.type(site.passphrases["rob"])
    page.keyboard.press("Enter")
    page.get_by_label("Reason").focus()
    page.keyboard.type("The wrong table.")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Deny")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("The wrong table.")).to_be_visible()
    assert site.desk.requests[REQUEST].state == "denied"


def test_a4_a_long_command_is_read_before_it_is_approved(site: Site, context: BrowserContext) -> None:
    site.desk.blobs[REQUEST] = blob(LONG)
    page = open_page(context)
    page.goto(f"{site.url}/r/{REQUEST}")
    sign_in(page, site)
    expect(page.get_by_role("button", name="Approve")).to_be_disabled()
    page.get_by_role("link", name="Read on").click()
    while page.get_by_role("link", name="Read on").count():
        page.get_by_role("link", name="Read on").click()
    page.get_by_role("link", name="To the decision").click()
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("heading", name="Approved")).to_be_visible()


def test_without_script_everything_works(site: Site, chromium: Chromium) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site.url}/r/{REQUEST}")
    sign_in(page, site)
    expect(page.get_by_role("timer")).to_have_text("14 min 1 s")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("heading", name="Approved")).to_be_visible()
    context.close()


def test_the_time_left_counts_down(site: Site, context: BrowserContext) -> None:
    page = open_page(context)
    page.goto(f"{site.url}/r/{REQUEST}")
    sign_in(page, site)
    expect(page.get_by_role("timer")).to_have_text("13 min 59 s", timeout=10_000)


def test_signing_out_and_wrong_passphrases(site: Site, context: BrowserContext) -> None:
    page = open_page(context)
    page.goto(site.url)
    page.get_by_label("Name").fill("rob")
    page.get_by_label("Passphrase").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    sign_in(page, site)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
    page.goto(site.url)
    expect(page.get_by_label("Passphrase")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone_width_needs_no_sideways_scrolling(site: Site, chromium: Chromium, scheme: str) -> None:
    context = chromium.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)  # type: ignore[arg-type]
    site.desk.blobs[REQUEST] = blob("UPDATE " + "x" * 3000 + " -- \u202e" + " " * 900 + ";")
    site.desk.requests[REQUEST] = request_view(client="c" * 200, database="d" * 200, in_transaction=True, certain=False)
    page = context.new_page()
    page.goto(site.url)
    for path in ("/", f"/r/{REQUEST}", f"/r/{REQUEST}/body", "/outbox", "/r/none"):
        if page.get_by_label("Passphrase").count():
            sign_in(page, site)
        page.goto(f"{site.url}{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
    context.close()


CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = c => { canvas.clearRect(0,0,1,1); canvas.fillStyle = c; canvas.fillRect(0,0,1,1);
                      return canvas.getImageData(0,0,1,1).data; };
  const light = c => { const [r,g,b] = [...c].slice(0,3).map(v => { v /= 255;
      return v <= .03928 ? v/12.92 : Math.pow((v+.055)/1.055, 2.4); }); return .2126*r+.7152*g+.0722*b; };
  const behind = e => { for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor);
      if (c[3] === 255) return c; } return [255,255,255,255]; };
  const bad = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || e.closest('button:disabled, script, .skip')) continue;
    const a = light(rgba(getComputedStyle(e).color)), b = light(behind(e));
    const ratio = (Math.max(a,b)+.05)/(Math.min(a,b)+.05);
    if (ratio < 4.5) bad.push(`${walker.currentNode.textContent.trim().slice(0,40)}: ${ratio.toFixed(2)}`);
  }
  return bad;
}"""


WIDE = Preview(
    action="UPDATE", target="shop." + "t" * 200, rows=9, columns=[Column(name=f"column_{at}") for at in range(12)],
    sample=[Row(before=[Cell(text="x" * 200, cut=True)] * 12, after=[Cell(text="y" * 200)] * 12)],
)  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("preview", [UPDATE, ALTER, WIDE], ids=["update", "alter", "wide"])
def test_a_preview_fits_a_phone_and_can_be_read(site: Site, chromium: Chromium, scheme: str, preview: Preview) -> None:
    context = chromium.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)  # type: ignore[arg-type]
    site.desk.previews[REQUEST] = preview
    complaints: list[str] = []
    page = open_page(context, complaints)
    page.goto(f"{site.url}/r/{REQUEST}")
    sign_in(page, site)
    expect(page.get_by_role("heading", name="What it would do")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate(CONTRAST) == []
    if preview.sample:
        row = page.get_by_role("table", name="A sample of the rows").get_by_role("row").nth(1)
        expect(row.get_by_role("cell")).to_have_count(len(preview.columns))
        expect(row.get_by_role("deletion").first).to_be_visible()
        expect(row.get_by_role("insertion").first).to_be_visible()
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("heading", name="Approved")).to_be_visible()
    assert complaints == []
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_aa(site: Site, chromium: Chromium, scheme: str) -> None:
    """WCAG 2.2, 1.4.3: at least 4.5 to 1."""
    context = chromium.new_context(color_scheme=scheme)  # type: ignore[arg-type]
    text = "UPDATE \u043erders SET a = 'x', b = $1, c = 4, \"D\" = 1 -- comment \u202e"
    site.desk.blobs[REQUEST] = blob(text, (25,), (0,), (None,))
    page = context.new_page()
    page.goto(site.url)
    assert page.evaluate(CONTRAST) == []
    sign_in(page, site)
    for state in ("pending", "denied", "done", "expired"):
        for effect in ("write", "ddl", "privileged", "read"):
            site.desk.requests[REQUEST] = request_view(state=state, effect=effect, in_transaction=True, certain=False)
            for path in ("/", f"/r/{REQUEST}"):
                page.goto(f"{site.url}{path}")
                assert page.evaluate(CONTRAST) == [], (state, effect, path)
    context.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_w5_the_data_of_a_copy_are_paged_through_to_their_last_row(
    site: Site, context: BrowserContext, width: int
) -> None:
    data = b"".join(b"%d\tname %d\n" % (number, number) for number in range(1500))
    copied = CopyData("a" * 64, len(data), CopyFormat.TEXT, data, 1500)
    command = PostgresCommand(QueryProtocol.SIMPLE, b"copy orders from stdin", copy=copied)
    site.desk.blobs[REQUEST] = canonical(command.to_json())
    page = open_page(context)
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{site.url}/r/{REQUEST}")
    sign_in(page, site)
    expect(page.get_by_role("button", name="Approve")).to_be_disabled()
    page.get_by_role("link", name="Read on").click()
    while page.get_by_role("link", name="Read on").count():
        page.get_by_role("link", name="Read on").click()
    expect(page.get_by_text("name 1499")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("link", name="To the decision").click()
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("heading", name="Approved")).to_be_visible()
