"""A document as one page of HTML that needs nothing else, not even a network."""

from html import escape

from muc_core.reports.document import Block, Document, Headline, Pairs, Section, Table
from muc_core.reports.story import Paragraph, Points

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 "Source Sans", system-ui, sans-serif; color: #23272f; background: #fff; margin: 0; }
main { max-width: 52rem; margin: 0 auto; padding: 2rem 1.2rem; overflow-wrap: anywhere; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; } h2 { font-size: 1.5rem; margin: 2.5rem 0 .5rem; }
h3 { font-size: 1.05rem; margin: 1.4rem 0 .3rem; } p, ul { margin: 0 0 .6rem; } ul { padding-left: 1.2em; }
.quiet, footer, .sub { color: #5b6270; font-size: .9rem; }
.headline { display: flex; gap: .6em; align-items: center; font-size: 1.5rem; font-weight: 600;
  margin: 1.2rem 0 .3rem; }
.sign { flex: none; width: 1.5em; height: 1.5em; border: .1em solid currentColor; border-radius: 50%; display: grid;
  place-items: center; font-size: .8em; }
.scroll { overflow-x: auto; margin-bottom: .8rem; }
table { border-collapse: collapse; width: 100%; font-size: .85rem; }
th, td { text-align: left; vertical-align: top; padding: .25rem .7rem .25rem 0; border-bottom: 1px solid #d9dce3; }
th.right, td.right { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
dl { display: grid; grid-template-columns: minmax(8rem, 13rem) 1fr; gap: .2rem 1rem; margin: 0 0 .8rem; }
dt { font-weight: 600; } dd { margin: 0; }
@media (max-width: 30rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .4rem; } }
@media (prefers-color-scheme: dark) {
  body { color: #e6e8ee; background: #14161c; } .quiet, footer, .sub { color: #a4abb9; }
  th, td { border-color: #383d4a; }
}
@page { size: A4; margin: 1.6cm; }
@media print {
  :root { color-scheme: light; } body { color: #23272f; background: #fff; font-size: 10pt; }
  main { max-width: none; padding: 0; } .appendix { break-before: page; } tr, li { break-inside: avoid; }
}
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""A browser that opens the file asks no other machine for anything, whatever stands in it."""


def to_html(document: Document) -> bytes:
    """The document in UTF-8; every text in it is escaped."""
    page = "".join(_section(section, 3) for section in document.page)
    appendix = "".join(_section(section, 3) for section in document.appendix)
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(document.title)}</title><style>{_STYLE}</style></head><body><main>"
        f"<header><h1>{escape(document.title)}</h1><p class=sub>{escape(document.subtitle)}</p></header>{page}"
        f'<div class="appendix"><h2>{escape(document.appendix_title)}</h2>{appendix}</div>'
        f"<footer>{escape(document.footer)}</footer></main></body></html>\n"
    )
    return text.encode()


def _section(section: Section, level: int) -> str:
    return f"<section><h{level}>{escape(section.title)}</h{level}>{''.join(map(_block, section.blocks))}</section>"


def _block(block: Block) -> str:
    if isinstance(block, Headline):
        return (
            f'<div class="headline"><span class="sign" aria-hidden="true">{escape(block.sign)}</span>'
            f"<span>{escape(block.word)}</span></div><p>{escape(block.meaning)}</p>"
        )
    if isinstance(block, Paragraph):
        return f"<p{' class=quiet' if block.quiet else ''}>{escape(block.text)}</p>"
    if isinstance(block, Points):
        return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in block.items)}</ul>"
    if isinstance(block, Pairs):
        return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{escape(what)}</dd>' for name, what in block.entries)}</dl>"
    return _table(block)


def _table(block: Table) -> str:
    sides = [side for _, side in block.columns]
    heads = "".join(f"<th class={side}>{escape(name)}</th>" for name, side in block.columns)
    cells = (
        "".join(f"<td class={side}>{escape(cell)}</td>" for cell, side in zip(row, sides, strict=True))
        for row in block.rows
    )
    rows = "".join(f"<tr>{row}</tr>" for row in cells)
    return f'<div class="scroll" tabindex="0"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
