from project.engine.layout import (
    Box,
    find_blocks,
    place_columns,
    place_rows,
    place_sides,
)


def chain(*names: str) -> list[Box]:
    boxes = [Box("Linear", name) for name in names]
    for source, box in zip(boxes, boxes[1:], strict=False):
        box.sources = [source]
    return boxes


def arrange(boxes: list[Box]):
    place_columns(boxes)
    blocks = find_blocks(boxes)
    place_rows(boxes, blocks)
    return blocks, place_sides(boxes, blocks, [(s, box) for box in boxes for s in box.sources])


def test_a_chain_stands_in_one_column_and_needs_no_lane():
    boxes = chain("a", "b", "c")
    _, lanes = arrange(boxes)
    assert {box.x for box in boxes} == {0}
    assert not lanes
    for above, below in zip(boxes, boxes[1:], strict=False):
        assert above.y + above.height < below.y


def test_branches_stand_side_by_side():
    first, left, right = chain("first")[0], Box("Linear", "left"), Box("Linear", "right")
    left.sources = right.sources = [first]
    arrange([first, left, right])
    assert left.y == right.y
    assert left.right < right.left


def test_an_arrow_that_skips_rows_passes_at_the_right_of_all_between():
    boxes = chain("a", "b", "c", "d")
    boxes[3].sources.append(boxes[0])
    _, lanes = arrange(boxes)
    assert lanes.keys() == {(boxes[0], boxes[3])}
    assert min(lanes.values()) > max(box.right for box in boxes)


def test_arrows_over_the_same_rows_have_lanes_of_their_own():
    boxes = chain("a", "b", "c", "d", "e")
    boxes[4].sources.append(boxes[0])
    boxes[3].sources.append(boxes[0])
    _, lanes = arrange(boxes)
    assert lanes[boxes[0], boxes[3]] < lanes[boxes[0], boxes[4]]


def test_a_block_surrounds_its_boxes_and_no_others():
    boxes = chain("a", "b", "c", "d")
    boxes[1].blocks = boxes[2].blocks = ("outer", "block")
    [block], _ = arrange(boxes)
    assert block.name == "block"
    assert block.left < boxes[1].left < boxes[1].right < block.right
    assert boxes[0].y + boxes[0].height < block.y < boxes[1].y
    assert boxes[2].y + boxes[2].height < block.y + block.height < boxes[3].y


def test_what_nothing_feeds_stands_right_above_its_use():
    boxes = chain("a", "b", "c")
    position = Box("Embedding", "position")
    boxes[2].sources.append(position)
    arrange([*boxes[:2], position, boxes[2]])
    assert position.y == boxes[1].y
