"""
Looks at dashboards in a browser, in an environment that has Playwright, and says what is to be seen.

Reads from standard input, as JSON, `browser` (a path), `url`, `user`, `password`, `pages` (slugs) and `pictures` (a folder, or
null); writes for each page its charts: title, kind, what an error says, whether something is drawn, the texts and rows shown.
"""

import json
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

HOLDERS = ".dashboard-component-chart-holder"
PATIENCE = 120_000  # milliseconds: when a page that does not come to rest is given up

# A page rests when every chart is drawn or has failed: nothing loads, and each holder has what its kind draws on.
RESTS = """() => {
  const holders = [...document.querySelectorAll('.dashboard-component-chart-holder')];
  return holders.length > 0 && !document.querySelector('.loading, [data-test="loading-indicator"]') && holders.every(
    one => one.querySelector('canvas, table tbody tr, .header-line, [role=alert], .ant-empty, .ant-alert') !== null);
}"""

# What each chart shows. A canvas is drawn on if it has more than one colour.
SHOWN = """() => [...document.querySelectorAll('.dashboard-component-chart-holder')].map(one => {
  const canvases = [...one.querySelectorAll('canvas')];
  const coloured = canvases.some(canvas => {
    const context = canvas.getContext('2d');
    if (!context || !canvas.width) return false;
    const pixels = new Uint32Array(context.getImageData(0, 0, canvas.width, canvas.height).data.buffer);
    return new Set(pixels).size > 8;
  });
  return {
    title: (one.querySelector('[data-test="editable-title-input"], [data-test="slice-header"] a, .header-title')
            || {innerText: ''}).innerText.trim(),
    kind: [...(one.querySelector('[data-test-viz-type]') || one).attributes].filter(
      a => a.name === 'data-test-viz-type').map(a => a.value)[0] || '',
    error: [...one.querySelectorAll('[role=alert], .ant-alert, .ant-empty')].map(e => e.innerText.trim()).join(' '),
    drawn: coloured || one.querySelector('table tbody tr, .header-line') !== null,
    number: (one.querySelector('.header-line') || {innerText: ''}).innerText.trim(),
    rows: [...one.querySelectorAll('table tbody tr')].map(
      row => [...row.querySelectorAll('td')].map(cell => cell.innerText.trim())),
    head: [...one.querySelectorAll('table thead th')].map(cell => cell.innerText.trim()),
  };
})"""


BOTTOM = """() => Math.max(...[...document.querySelectorAll('.dashboard-component-chart-holder')].map(
  one => one.getBoundingClientRect().bottom))"""

# Charts grow into their place: a page stands still when no canvas has changed in four looks.
STILL = """() => {
  const now = [...document.querySelectorAll('canvas')].map(one => one.toDataURL()).join();
  const still = window.seenCanvases === now;
  window.seenCanvases = now;
  window.stillLooks = still ? (window.stillLooks || 0) + 1 : 0;
  return window.stillLooks >= 4;
}"""


def look_at(page: Page, url: str) -> list[dict]:
    """Open a dashboard and return what its charts show when it has come to rest."""
    page.goto(url)
    page.wait_for_selector(HOLDERS, timeout=PATIENCE)
    page.wait_for_function(RESTS, timeout=PATIENCE)
    page.wait_for_load_state("networkidle", timeout=PATIENCE)
    page.wait_for_function(RESTS, timeout=PATIENCE)
    page.wait_for_function(STILL, timeout=PATIENCE, polling=250)
    return page.evaluate(SHOWN)


def main() -> None:
    """Sign in, look at every page, write what was seen."""
    told = json.load(sys.stdin)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=told["browser"], args=["--no-sandbox", "--force-prefers-reduced-motion", "--hide-scrollbars"]
        )
        # Tall from the beginning: charts outside of the view are not drawn.
        page = browser.new_page(viewport={"width": 1440, "height": 3000}, reduced_motion="reduce")
        asked: list[str] = []
        page.on("response", lambda response: asked.append(response.url))  # what the page's policy forbids is never answered
        page.goto(f"{told['url']}/login/")
        page.fill("#username", told["user"])
        page.fill("#password", told["password"])
        page.keyboard.press("Enter")
        page.wait_for_url(lambda address: "/login" not in address, timeout=PATIENCE)
        seen = {}
        for slug in told["pages"]:
            seen[slug] = look_at(page, f"{told['url']}/superset/dashboard/{slug}/")
            if told["pictures"]:
                bottom = page.evaluate(BOTTOM) + 16
                clip = {"x": 0, "y": 0, "width": 1440, "height": bottom}
                page.screenshot(path=str(Path(told["pictures"]) / f"{slug}.png"), clip=clip)
        browser.close()
    elsewhere = sorted({one for one in asked if not one.startswith((told["url"], "data:", "blob:"))})
    json.dump({"pages": seen, "elsewhere": elsewhere}, sys.stdout)


main()
