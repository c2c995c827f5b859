#!/usr/bin/env python3
"""Fails if a document names a file, folder or element that is not there, if README misses an element, or if an element has no page."""
import pathlib, re, sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DOCUMENTS = ["README.md", "CONTRIBUTING.md", *(p.relative_to(ROOT).as_posix() for p in sorted((ROOT / "docs").rglob("*.md")))]
NAMED = re.compile(r"`\.?/?((?:runtime|elements|plugins|pipelines|examples|models|tests|tools|docs|cmake)/[\w./-]*)`")
wrong = []
for name in DOCUMENTS:
    text = (ROOT / name).read_text()
    for path in NAMED.findall(text):
        if not (ROOT / path.rstrip("/")).exists():
            wrong.append(f"{name} names {path}, which is not there")
elements = re.findall(r"GST_ELEMENT_REGISTER\((\w+),", (ROOT / "plugins/omni.cc").read_text())
for element in elements:
    if element not in (ROOT / "README.md").read_text():
        wrong.append(f"README.md does not name the element {element}")
    if not (ROOT / f"docs/elements/{element}.md").exists():
        wrong.append(f"docs/elements/{element}.md is missing: run tools/tables/make_element_docs")
print(f"{len(DOCUMENTS)} documents, {len(elements)} elements")
for line in wrong:
    print(line)
sys.exit(bool(wrong))
