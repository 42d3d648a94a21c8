"""
Looks at the status page in a browser, in an environment that has Playwright, and says what is to be seen and to be heard.

Reads from standard input, as JSON, `browser` (a path), `url` and `pictures` (a folder, or null). Writes for each view (light,
dark, phone) what the browser complained of, what was asked for elsewhere, whether the page fits, texts of too little contrast,
its tree as a screen reader has it; and whether the list of runs can be opened by the keyboard.
"""

import json
import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

VIEWS = {"light": (1080, "light"), "dark": (1080, "dark"), "phone": (390, "light")}
ENOUGH = 4.5  # what WCAG asks for between a text and its ground

# Of every text the contrast between its colour and the nearest ground that is not transparent.
FAINT = """enough => {
  const channel = value => { value /= 255; return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4; };
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const parts = text => text.match(/[\\d.]+/g).map(Number);
  const ground = one => {
    for (; one; one = one.parentElement) {
      const found = parts(getComputedStyle(one).backgroundColor);
      if (found.length === 3 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const one of document.querySelectorAll('body *')) {
    if (!one.checkVisibility() || ![...one.childNodes].some(node => node.nodeType === 3 && node.data.trim())) continue;
    const [a, b] = [light(parts(getComputedStyle(one).color)), light(ground(one))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < enough) faint.push(`${one.textContent.trim().slice(0, 40)}: ${contrast.toFixed(2)}`);
  }
  return faint;
}"""

# What is drawn has a size, and a colour that the style sheet gave it.
DRAWN = """() => [...document.querySelectorAll('.line svg, .runs svg')].map(picture => {
  const box = picture.getBoundingClientRect();
  const colours = new Set([...picture.querySelectorAll('rect, circle')].map(one => getComputedStyle(one).fill));
  return box.width > 100 && box.height >= 20 && !colours.has('rgb(0, 0, 0)');
})"""


def seen(browser: Browser, view: str, url: str, pictures: str | None) -> dict:
    """Open the page in one view, in a browser that runs no script of it, and return what is to be seen."""
    width, scheme = VIEWS[view]
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, java_script_enabled=False)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    found = {
        "said": said,
        "elsewhere": [one for one in asked if not one.startswith(url)],
        "fits": page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"),
        "faint": page.evaluate(FAINT, ENOUGH),
        "drawn": page.evaluate(DRAWN),
        "ground": page.evaluate("() => getComputedStyle(document.body).backgroundColor"),
        "heard": page.locator("body").aria_snapshot(),
    }
    if pictures:
        page.screenshot(path=str(Path(pictures) / f"status-page-{view}.png"), full_page=True)
    page.locator("summary").first.focus()
    page.keyboard.press("Enter")
    found["opened"] = page.locator("details[open] table").first.is_visible()
    context.close()
    return found


def main() -> None:
    """Look at every view, and write what was seen."""
    told = json.load(sys.stdin)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=told["browser"], args=["--no-sandbox", "--hide-scrollbars"])
        found = {view: seen(browser, view, told["url"], told["pictures"]) for view in VIEWS}
        browser.close()
    json.dump(found, sys.stdout)


main()
