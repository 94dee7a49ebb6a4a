"""A headless browser for pages: their DOM after scripts, what the console says, a picture, a print."""

import json
import re
import shutil
import subprocess
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_MARK = "browser-said"
# Runs before the page's own scripts: keeps errors, and what the page would load, for the DOM that is read back.
_LISTENER = """<script>
window.said = []; window.loaded = [];
addEventListener("error", (e) => said.push(String(e.message || e.target.src)), true);
addEventListener("unhandledrejection", (e) => said.push(String(e.reason)));
for (const name of ["error", "warn"]) { const old = console[name]; console[name] = (...x) => { said.push(x.join(" ")); old(...x); }; }
addEventListener("load", () => { const out = document.createElement("script"); out.type = "application/json";
  out.id = "MARK"; out.textContent = JSON.stringify({ said, loaded: performance.getEntriesByType("resource").map((r) => r.name),
  visible: Object.fromEntries([...document.querySelectorAll("h1, h2, svg, table, .tile, .verdict")].map((e, i) => {
    const box = e.getBoundingClientRect(); return [i + " " + e.tagName + " " + (e.id || e.textContent.slice(0, 40)), [box.width, box.height]]; })),
  overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  wide: [...document.querySelectorAll(".scroll")].filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.textContent.slice(0, 60)) });
  document.body.append(out); });
</script>""".replace("MARK", _MARK)  # noqa: E501 - a page of its own


def find() -> str | None:
    """The browser's path; None where there is none."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def look(html: str, folder: Path, *flags: str, script: str = "") -> dict:
    """Load a page and return what its console said, what it loaded, and the sizes of its elements."""
    page = folder / "looked_at.html"
    listened = html.replace("<head>", "<head>" + _LISTENER, 1)
    page.write_text(listened.replace("</body>", f"<script>{script}</script></body>", 1), encoding="utf-8")
    out = run(folder, "--dump-dom", "--virtual-time-budget=4000", *flags, page.as_uri())
    found = re.search(rf'id="{_MARK}">(.*?)</script>', out, flags=re.S)
    assert found, f"the page did not load: {out[:500]}"
    return json.loads(found.group(1)) | {"dom": out}


def run(folder: Path, *arguments: str) -> str:
    """Run the browser and return what it printed."""
    browser = find()
    assert browser
    profile = folder / "profile"
    done = subprocess.run(
        [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
         f"--user-data-dir={profile}", "--window-size=1240,2000", *arguments],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout
