"""Where the boxes and arrows of the network's picture stand."""

from dataclasses import dataclass, field

GAP, HEAD, PAD, LANE = 22, 27, 9, 14  # between rows, over a block, around it, between arrows


@dataclass(eq=False)
class Box:
    """A layer's call, or an operation between layers; x is its middle, y its top."""

    kind: str
    name: str = ""  # a layer's name in the network
    weights: int = 0
    shape: str = ""
    blocks: tuple[str, ...] = ()  # around it, outermost first
    sources: list["Box"] = field(default_factory=list)
    row: int = 0
    column: int = 0
    x: float = 0
    y: float = 0
    width: float = 0
    height: float = 26

    @property
    def left(self) -> float:
        return self.x - self.width / 2

    @property
    def right(self) -> float:
        return self.x + self.width / 2


class Block:
    """A module with several boxes in it."""

    def __init__(self, name: str, boxes: list[Box]):
        self.name, self.boxes = name, set(boxes)
        self.first, self.last = min(b.row for b in boxes), max(b.row for b in boxes)
        self.left, self.right = min(b.left for b in boxes), max(b.right for b in boxes)
        self.y = self.height = 0.0

    def nested(self, blocks: list["Block"]) -> list["Block"]:
        """Return the blocks inside this one, itself included."""
        return [block for block in blocks if block.boxes <= self.boxes]


def place_columns(boxes: list[Box]) -> None:
    """Give each box a row, its longest way from the inputs, and a column, its source's if free."""
    for box in boxes:
        box.row = max((source.row + 1 for source in box.sources), default=0)
    for box in boxes:  # a layer that nothing feeds stands right above its use
        if not box.sources and box.name:
            box.row = min((other.row for other in boxes if box in other.sources), default=1) - 1
    texts = [(box, max(len(box.kind + box.shape), len(box.name) + 8)) for box in boxes]
    wide = max([150, *(7.2 * length + 34 for box, length in texts if box.name)])
    taken = set()
    for box, length in texts:
        box.column = box.sources[0].column if box.sources else 0
        while (box.row, box.column) in taken:
            box.column += 1
        taken.add((box.row, box.column))
        box.width, box.height = (wide, 42) if box.name else (max(40, 7.2 * length + 26), 26)
        box.x = box.column * (wide + 4 * GAP)


def find_blocks(boxes: list[Box]) -> list[Block]:
    """Return the modules that hold several boxes, of those with the same boxes the innermost."""
    names = dict.fromkeys(name for box in boxes for name in box.blocks)
    found = [Block(name, [box for box in boxes if name in box.blocks]) for name in names]
    return list({frozenset(b.boxes): b for b in found if len(b.boxes) > 1}.values())


def place_rows(boxes: list[Box], blocks: list[Block]) -> float:
    """Give boxes and blocks their heights; return that of the picture."""
    y = 60.0  # below the title
    for row in range(max(box.row for box in boxes) + 1):
        begin = {b: sum(c.first == row for c in b.nested(blocks)) for b in blocks if b.first == row}
        end = {b: sum(c.last == row for c in b.nested(blocks)) for b in blocks if b.last == row}
        y += HEAD * max(begin.values(), default=0)
        for block, levels in begin.items():
            block.y = y - HEAD * levels
        members = [box for box in boxes if box.row == row]
        height = max(box.height for box in members)
        for box in members:
            box.y = y + (height - box.height) / 2
        y += height
        for block, levels in end.items():
            block.height = y + PAD * levels - block.y
        y += PAD * max(end.values(), default=0) + GAP
    return y


def place_sides(
    boxes: list[Box], blocks: list[Block], arrows: list[tuple[Box, Box]]
) -> dict[tuple[Box, Box], float]:
    """Widen blocks around what they hold; return the lanes of the arrows that skip rows."""
    edge = [max(b.right for b in boxes if b.row == r) for r in range(max(b.row for b in boxes) + 1)]
    lanes: dict[tuple[Box, Box], float] = {}
    # from the inside out: what spans fewer rows is nearer to the boxes
    spans: list[tuple[int, Block | tuple[Box, Box]]] = [(b.last - b.first + 1, b) for b in blocks]
    spans += [(box.row - source.row - 1, (source, box)) for source, box in arrows]
    for span, item in sorted(spans, key=lambda span: span[0]):
        if isinstance(item, Block):
            inner = [block for block in item.nested(blocks) if block is not item]
            item.left = min([item.left, *(block.left for block in inner)]) - PAD
            inside = [lanes[arrow] for arrow in lanes if arrow[1] in item.boxes]
            item.right = max([item.right, *(block.right for block in inner), *inside]) + PAD
            between, x = slice(item.first, item.last + 1), item.right
        elif span:
            source, box = item
            between = slice(source.row + 1, box.row)
            x = max(edge[between]) + LANE
            if source.column > box.column:
                x = max(x, source.x)  # straight down
            lanes[item] = x
        else:
            continue  # straight to the next row
        edge[between] = [max(x, old) for old in edge[between]]
    return lanes
