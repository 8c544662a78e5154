"""The network's boxes and arrows as an SVG file that needs nothing else."""

from html import escape

from .layout import GAP, Block, Box, find_blocks, place_columns, place_rows, place_sides

SIGNS = {"add": "+", "sub": "−", "mul": "×", "div": "÷"}
STYLE = """
text { font: 12px system-ui, Helvetica, Arial, sans-serif; fill: #1f2937 }
.title { font-size: 16px; font-weight: 600 } .kind { font-weight: 600 }
.small { font-size: 11px; fill: #64748b } .middle { text-anchor: middle } .end { text-anchor: end }
rect { stroke: #94a3b8; fill: #ffffff } .weights { fill: #dbeafe; stroke: #60a5fa }
.pill { fill: #fef3c7; stroke: #f59e0b } .ends { fill: #e2e8f0 } .paper { stroke: none }
.block { fill: #0f172a; fill-opacity: 0.03; stroke: #cbd5e1 }
.arrow { fill: none; stroke: #64748b; stroke-width: 1.4; marker-end: url(#head) }
"""
HEAD = (
    '<marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto"><path d="M0 0 8 4 0 8z" fill="#64748b"/></marker>'
)


def draw(boxes: list[Box], title: str) -> str:
    """Return the picture; sets the places of the boxes."""
    for box in boxes:
        box.kind = box.kind if box.name else SIGNS.get(box.kind, box.kind)
        if box.kind in SIGNS.values():
            box.shape = ""
    place_columns(boxes)
    blocks = find_blocks(boxes)
    height = place_rows(boxes, blocks)
    arrows = [(source, box) for box in boxes for source in box.sources]
    lanes = place_sides(boxes, blocks, arrows)
    left = min(item.left for item in (*boxes, *blocks)) - GAP
    right = max(*lanes.values(), *(item.right for item in (*boxes, *blocks))) + GAP
    view = f"{left:.0f} 0 {right - left:.0f} {height:.0f}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view}" '
            f'width="{right - left:.0f}" height="{height:.0f}">',
            f"<title>{escape(title)}</title><style>{STYLE}</style>{HEAD}",
            rectangle("paper", left, 0, right - left, height, 0),
            words("title", left + GAP, 34, title),
            *(draw_block(block) for block in sorted(blocks, key=lambda b: -len(b.boxes))),
            *(draw_arrow(source, box, lanes.get((source, box)), boxes) for source, box in arrows),
            *(draw_box(box) for box in boxes),
            "</svg>\n",
        ]
    )


def rectangle(style: str, x: float, y: float, width: float, height: float, round_by: int) -> str:
    size = f'width="{width:.0f}" height="{height:.0f}" rx="{round_by}"'
    return f'<rect class="{style}" x="{x:.0f}" y="{y:.0f}" {size}/>'


def words(style: str, x: float, y: float, text: str) -> str:
    return f'<text class="{style}" x="{x:.0f}" y="{y:.0f}">{escape(text)}</text>'


def draw_block(block: Block) -> str:
    box = rectangle("block", block.left, block.y, block.right - block.left, block.height, 9)
    return box + words("small", block.left + 8, block.y + 14, block.name)


def draw_box(box: Box) -> str:
    place = (box.left, box.y, box.width, box.height)
    if not box.name:
        style = "pill" if box.sources and box.kind != "outputs" else "ends"
        text = f"{box.kind}  {box.shape}".strip()
        return rectangle(style, *place, 13) + words("kind middle", box.x, box.y + 17, text)
    lines = [
        rectangle("weights" if box.weights else "plain", *place, 6),
        words("kind", box.left + 9, box.y + 17, box.kind),
        words("small end", box.right - 9, box.y + 17, box.shape),
        words("small", box.left + 9, box.y + 34, box.name),
    ]
    if box.weights:
        lines.append(words("small end", box.right - 9, box.y + 34, f"{box.weights:,}"))
    return "".join(lines)


def draw_arrow(source: Box, box: Box, lane: float | None, boxes: list[Box]) -> str:
    """Go straight down, or by a lane at the side of what lies between."""
    bottom, middle = source.y + source.height, box.y + box.height / 2
    if lane is None:
        turn = bottom + GAP / 2
        points = [(source.x, bottom), (source.x, turn), (box.x, turn), (box.x, box.y)]
    else:
        if lane == source.x:
            points = [(source.x, bottom)]
        elif any(other.row == source.row and other.x > source.x for other in boxes):
            points = [(source.x, bottom), (source.x, bottom + GAP / 2), (lane, bottom + GAP / 2)]
        else:
            low = source.y + 0.75 * source.height  # below an arrow that comes in
            points = [(source.right - 5, low), (lane, low)]
        if any(other.row == box.row and other.x > box.x for other in boxes):
            points += [(lane, box.y - GAP / 2), (box.x, box.y - GAP / 2), (box.x, box.y)]
        else:
            points += [(lane, middle), (box.right, middle)]
    return f'<path class="arrow" d="{rounded(points)}"/>'


def rounded(points: list[tuple[float, float]], radius: float = 8) -> str:
    """Return a path through the points that turns softly."""
    path = "M{:.1f} {:.1f}".format(*points[0])
    for (x0, y0), (x, y), (x1, y1) in zip(points, points[1:], points[2:], strict=False):
        before, after = abs(x - x0) + abs(y - y0), abs(x1 - x) + abs(y1 - y)
        r = min(radius, before / 2, after / 2)
        if r:
            a = (x + (x0 - x) * r / before, y + (y0 - y) * r / before)
            b = (x + (x1 - x) * r / after, y + (y1 - y) * r / after)
            path += "L{:.1f} {:.1f}Q{:.1f} {:.1f} {:.1f} {:.1f}".format(*a, x, y, *b)
    return path + "L{:.1f} {:.1f}".format(*points[-1])
