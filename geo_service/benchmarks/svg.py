"""What the documents' charts have in common. SVG by hand: a few lines and an area need no plotting library."""

from xml.sax.saxutils import escape


def frame(title: str, *, width: int, height: int, left: int, baseline: int) -> str:
    """The opening of a chart on white, its title at `left` and `baseline`; `</svg>` is the caller's to write."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="12">\n<title>{escape(title)}</title>\n'
        f'<rect width="{width}" height="{height}" fill="#fff"/>\n'
        f'<text x="{left}" y="{baseline}" font-size="14" font-weight="600" fill="#111">{escape(title)}</text>'
    )


def graduation(value: int, y: float, *, left: int, right: int, colour: str = "#e5e5e5") -> list[str]:
    """A horizontal line from `left` to `right` across a chart, and its value before it."""
    return [
        f'<line x1="{left}" x2="{right}" y1="{y}" y2="{y}" stroke="{colour}"/>',
        f'<text x="{left - 6}" y="{y + 4}" text-anchor="end" fill="#555">{value}</text>',
    ]
