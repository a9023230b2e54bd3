"""Check every link of the Markdown files and, unless asked only to check, render them to HTML.

    python docs/build.py [--check]        writes site/, whose start page is README's

A link to a file that does not exist, or to a heading that its page does not have, is an error.
"""

from __future__ import annotations

import argparse
import html
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "site"
SKIPPED = {".venv", ".venv-proto", ".git", "site", "output", "dist", "node_modules"}
EXTERNAL = re.compile(r"^[a-z][a-z0-9+.-]*:")
STYLE = """
body{max-width:52rem;margin:2rem auto;padding:0 1rem;font:16px/1.55 system-ui,sans-serif;color:#222}
pre,code{font-family:ui-monospace,monospace;font-size:.9em}
code{background:#f3f3f3;padding:.1em .25em}
pre{background:#f3f3f3;padding:.8rem;overflow:auto}pre code{padding:0}nav{font-size:.9em}
table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.25rem .6rem;text-align:left}
"""


@dataclass(frozen=True)
class Page:
    """One Markdown file, parsed."""

    path: Path  # relative to ROOT
    tokens: list[Token]
    title: str
    anchors: frozenset[str]
    links: tuple[str, ...]


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def parse(path: Path, markdown: MarkdownIt) -> Page:
    """Read one file; *path* is relative to ROOT."""
    tokens = markdown.parse((ROOT / path).read_text(encoding="utf-8"))
    anchors, links, title = set(), [], ""
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "heading_open" and following is not None:
            text = "".join(part.content for part in following.children or [])
            token.attrSet("id", slug(text))
            anchors.add(slug(text))
            title = title or text
        for child in token.children or []:
            target = child.attrGet("href" if child.type == "link_open" else "src")
            if child.type in ("link_open", "image") and isinstance(target, str):
                links.append(target)
    return Page(path, tokens, title or path.stem, frozenset(anchors), tuple(links))


def sources() -> list[Path]:
    """All Markdown files of the project, relative to ROOT."""
    found = []
    for directory, names, files in os.walk(ROOT):
        names[:] = sorted(set(names) - SKIPPED)
        found += [Path(directory, name).relative_to(ROOT) for name in files if name.endswith(".md")]
    return sorted(found)


def broken_links(pages: dict[Path, Page]) -> list[str]:
    """One sentence for each link that leads nowhere inside the project."""
    found = []
    for page in pages.values():
        for link in page.links:
            if EXTERNAL.match(link):
                continue
            name, _, anchor = link.partition("#")
            target = _resolve(page.path, name)
            if not (ROOT / target).exists():
                found.append(f"{page.path}: '{link}': no such file")
            elif anchor and target in pages and anchor not in pages[target].anchors:
                found.append(f"{page.path}: '{link}': {target} has no such heading")
    return found


def _resolve(page: Path, link: str) -> Path:
    return Path(os.path.normpath(page.parent / link)) if link else page


def render(pages: dict[Path, Page], markdown: MarkdownIt) -> None:
    """Write every page below SITE, links to other pages turned to theirs; README is index.html."""
    for page in pages.values():
        for token in page.tokens:
            for child in token.children or []:
                target = child.attrGet("href")
                if child.type == "link_open" and isinstance(target, str):
                    child.attrSet("href", _site_link(target, page, pages))
        body = markdown.renderer.render(page.tokens, markdown.options, {})
        home = os.path.relpath("index.html", page.path.parent)
        out = SITE / page.path.with_suffix(".html")
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(
            f"<!doctype html><meta charset=utf-8><title>{html.escape(page.title)}</title>"
            f"<style>{STYLE}</style><nav><a href='{home}'>pydfsnode</a></nav>\n{body}",
            encoding="utf-8",
        )
    readme = SITE / "README.html"
    if readme.exists():
        readme.replace(SITE / "index.html")


def _site_link(link: str, page: Page, pages: dict[Path, Page]) -> str:
    name, separator, anchor = link.partition("#")
    if EXTERNAL.match(link) or not name or _resolve(page.path, name) not in pages:
        return link
    target = _resolve(page.path, name).with_suffix(".html")
    if target == Path("README.html"):
        target = Path("index.html")
    return os.path.relpath(target, page.path.parent) + separator + anchor


def main(argv: list[str]) -> int:
    """Exit 1 with the broken links, if any."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only check the links")
    given = parser.parse_args(argv)
    markdown = MarkdownIt("commonmark").enable("table")
    pages = {path: parse(path, markdown) for path in sources()}
    broken = broken_links(pages)
    for sentence in broken:
        print(sentence, file=sys.stderr)
    if not given.check and not broken:
        render(pages, markdown)
        print(f"{len(pages)} pages in {SITE.relative_to(ROOT)}/, from index.html")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
