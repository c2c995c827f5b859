#!/usr/bin/env python3
"""Fails if a document names a file, folder, command or element that is not there, if README misses an element, if an element has no
page, or if docs/embedding.md misses a structure that the elements make, or a member of one, or has one that they do not make."""
import pathlib, re, sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DOCUMENTS = ["README.md", "CONTRIBUTING.md", *(p.relative_to(ROOT).as_posix() for p in sorted((ROOT / "docs").rglob("*.md")))]
NAMED = re.compile(r"`\.?/?((?:runtime|elements|plugins|pipelines|examples|models|tests|tools|docs|cmake)/[\w./-]*)[ `]")
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

# Structures of messages and `stats`: what the sources name, and what the first column of a table or a list of members says.
sources = "\n".join(p.read_text() for folder in ("elements", "plugins") for p in sorted((ROOT / folder).rglob("*.cc")))
page = (ROOT / "docs/embedding.md").read_text()
documented = set(re.findall(r"`([\w/.-]+)`", page))
made = set()
for call in re.findall(r"gst_structure_(?:new|set)\((.*?)nullptr\)", sources, re.S):
    made |= set(re.findall(r'"([a-z][\w/-]*)",\s*G_TYPE', call)) | set(re.findall(r'^\s*"(omni[\w/-]*)"', call))
for name in sorted(made - documented):
    wrong.append(f"docs/embedding.md does not name {name}")
for line in re.findall(r"^\| ([^|]*) \| (?:string|double|uint|uint64)\b", page, re.M):
    for name in re.findall(r"`([\w-]+)`", line):
        if f'"{name}"' not in sources:
            wrong.append(f"docs/embedding.md names the member {name}, which no element makes")
print(f"{len(DOCUMENTS)} documents, {len(elements)} elements, {len(made)} names of structures and members")
for line in wrong:
    print(line)
sys.exit(bool(wrong))
