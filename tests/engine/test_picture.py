from xml.etree import ElementTree

from project.engine.layout import Box
from project.engine.picture import draw, rounded


def test_the_picture_is_one_valid_file_with_all_boxes_and_arrows_inside():
    first = Box("inputs", shape="B × 4")
    second = Box("Linear", "<head> & more", weights=20, sources=[first])
    total = Box("add", sources=[second, first])
    picture = draw([first, second, total], "Net <4>")
    root = ElementTree.fromstring(picture)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    assert (width, height) == (float(root.attrib["width"]), float(root.attrib["height"]))
    assert picture.count('class="arrow"') == 3
    assert "&lt;head&gt; &amp; more" in picture
    assert "http" not in picture.replace("http://www.w3.org/2000/svg", "")


def test_a_straight_line_has_no_turn_and_a_corner_is_soft():
    assert "Q" not in rounded([(0, 0), (0, 5), (0, 5), (0, 10)])
    assert rounded([(0, 0), (0, 20), (20, 20)]).count("Q") == 1
