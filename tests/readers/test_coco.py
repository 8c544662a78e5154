import json
from pathlib import Path
from typing import Any

import pytest
from project.engine.errors import DATA, USAGE
from project.readers.coco import Annotated, coco_sets, read_coco


def make_content() -> dict[str, Any]:
    return {
        "images": [
            {"id": 7, "file_name": "b.png", "width": 40, "height": 30},
            {"id": 3, "file_name": "more/a.png", "width": 20, "height": 20},
        ],
        "categories": [{"id": 9, "name": "dog"}, {"id": 2, "name": "cat"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 9, "bbox": [1, 2, 10, 20.5]},
            {"id": 2, "image_id": 7, "category_id": 2, "bbox": [0, 0, 5, 5], "iscrowd": 1},
        ],
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "more").mkdir()
    for name in ("b.png", "more/a.png"):
        (tmp_path / name).write_bytes(b"not looked into")
    return tmp_path


def read(folder: Path, content: Any, **how: Any) -> tuple[list[Annotated], list[str]]:
    path = folder / "boxes.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return read_coco(path, folder, how.get("reads"))


def refused(folder: Path, content: Any, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stopped:
        read(folder, content)
    assert stopped.value.code == DATA
    error = capsys.readouterr().err
    assert "boxes.json" in error and error.count("\n") == 1
    return error


def test_images_and_categories_are_in_the_order_of_their_ids(folder):
    found, classes = read(folder, make_content())
    assert classes == ["cat", "dog"]
    files = [(entry.path, entry.name, entry.width, entry.height) for entry in found]
    assert files == [
        (folder / "more/a.png", "more/a.png", 20, 20),
        (folder / "b.png", "b.png", 40, 30),
    ]
    rows = [entry.rows.tolist() for entry in found]
    assert rows == [[], [[1, 2, 11, 22.5, 1, 0], [0, 0, 5, 5, 0, 1]]]
    assert found[0].rows.shape == (0, 6)


def test_boxes_end_at_the_edge_of_the_image_and_empty_ones_are_counted(folder, capsys):
    content = make_content()
    boxes = ([-5, -5, 10, 10], [35, 25, 99, 99], [3, 3, 0, 5], [50, 3, 5, 5])
    about = {"image_id": 7, "category_id": 2}
    content["annotations"] = [{"bbox": box, **about} for box in boxes]
    (_, found), _ = read(folder, content)
    assert found.rows.tolist() == [[0, 0, 5, 5, 0, 0], [35, 25, 40, 30, 0, 0]]
    assert "2 of 4 boxes left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "is no JSON"),
        (b'{"images": [', "is no JSON"),
        (b"\xff\xfe\x00", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        ([], "COCO's format"),
        ({"images": [], "annotations": {}}, "lists images, categories, annotations"),
    ],
)
def test_a_file_that_is_no_coco_is_refused(folder, capsys, content, part):
    assert part in refused(folder, content, capsys)


def test_a_file_that_is_not_there_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        read_coco(tmp_path / "nowhere.json", tmp_path, None)
    assert stopped.value.code == DATA
    assert "nowhere.json: No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "field", "value", "part"),
    [
        ("images", "id", "x", "id 'x' is not a whole number"),
        ("images", "id", None, "id None"),
        ("images", "id", 3, "id 3 is there twice"),
        ("images", "file_name", 5, "file_name 5 is not a text"),
        ("images", "file_name", "", "file_name ''"),
        ("images", "file_name", "\ud800.png", r"file_name '\ud800.png'"),
        ("images", "width", 0, "width 0 is not a number of pixels"),
        ("images", "height", "30", "height '30'"),
        ("images", "height", None, "height None"),
        ("categories", "id", 2, "id 2 is there twice"),
        ("categories", "name", None, "name None"),
        ("categories", "name", "cat", "name 'cat' is that of"),
        ("images", "file_name", "more/a.png", "file_name 'more/a.png' is that of"),
        ("annotations", "image_id", 8, "image_id 8 is none of the images"),
        ("annotations", "image_id", [7], "image_id [7]"),
        ("annotations", "category_id", 1, "category_id 1 is none of the categories"),
        ("annotations", "bbox", None, "bbox None is not x, y, width, height"),
        ("annotations", "bbox", [1, 2, 3], "bbox [1, 2, 3]"),
        ("annotations", "bbox", [1, 2, -3, 4], "bbox [1, 2, -3, 4]"),
        ("annotations", "bbox", [1, 2, float("nan"), 4], "bbox [1, 2, nan, 4]"),
        ("annotations", "bbox", [1, 2, "x", 4], "bbox"),
        ("annotations", "bbox", [10**400, 2, 3, 4], "bbox"),
    ],
)
def test_a_wrong_field_is_named_with_its_entry(folder, capsys, name, field, value, part):
    content = make_content()
    content[name][0][field] = value
    error = refused(folder, content, capsys)
    place = 2 if "twice" in part else 1
    assert f"{name}, entry {place}: " in error and part in error


@pytest.mark.parametrize("name", ["images", "categories", "annotations"])
def test_an_entry_that_is_no_object_is_refused(folder, capsys, name):
    content = make_content()
    content[name].append(5)
    assert f"{name}, entry 3: is not an object" in refused(folder, content, capsys)


def test_a_file_without_boxes_is_refused(folder, capsys):
    assert "has no boxes" in refused(folder, make_content() | {"annotations": []}, capsys)


def test_images_that_are_not_there_are_counted(folder, capsys):
    (folder / "b.png").unlink()
    error = refused(folder, make_content(), capsys)
    assert "1 of 2 images are not there" in error and str(folder / "b.png") in error
    assert "--images" in error


def test_images_that_do_not_read_are_left_out_if_asked(folder, capsys):
    found, _ = read(folder, make_content(), reads=lambda entry: entry.width == 20)
    assert [entry.width for entry in found] == [20]
    assert "1 of 2 files left out" in capsys.readouterr().out


# sets


def write_set(place: Path, count: int, first: int = 0) -> Path:
    """Write a file of annotations with as many images beside it."""
    place.mkdir(parents=True, exist_ok=True)
    names = [f"{number}.png" for number in range(first, first + count)]
    for name in names:
        (place / name).write_bytes(b"not looked into")
    content = {
        "images": [
            {"id": n, "file_name": name, "width": 9, "height": 9} for n, name in enumerate(names)
        ],
        "categories": [{"id": 0, "name": "cat"}],
        "annotations": [{"image_id": 0, "category_id": 0, "bbox": [1, 1, 5, 5]}],
    }
    path = place / "boxes.json"
    path.write_text(json.dumps(content))
    return path


def split(*places: Path, folders: tuple[Path, ...] = (), level: int = 0) -> dict[str, list[str]]:
    sets, _ = coco_sets([*places], [*folders], 0, level, None)
    return {name: [entry.name for entry in entries] for name, entries in sets.items()}


def test_what_has_no_file_is_held_out_of_the_training_images_by_their_names(tmp_path):
    train, more = write_set(tmp_path / "a", 60), write_set(tmp_path / "more", 80)
    sets = split(train)
    assert all(sets.values())
    found = [name for names in sets.values() for name in names]
    assert sorted(found) == sorted(path.name for path in train.parent.glob("*.png"))
    grown = split(more)  # more images move none
    assert all({*names} <= {*grown[name]} for name, names in sets.items())
    val = write_set(tmp_path / "val", 3, first=100)
    sets = split(train, val)
    assert sets["val"] == ["100.png", "101.png", "102.png"] and sets["test"]
    assert [len(names) for names in split(train, val, val).values()] == [60, 3, 3]


@pytest.mark.parametrize("names", [("train", "valid", "test"), ("train", "val"), ("train",)])
def test_a_folder_of_the_sets_is_read(tmp_path, names):
    for number, name in enumerate(names):
        write_set(tmp_path / name, 40, first=100 * number)
    sets = split(tmp_path)
    assert all(sets.values()) and sum(map(len, sets.values())) == 40 * len(names)
    if len(names) == 3:
        assert sets["val"][0] == "100.png" and sets["test"][0] == "200.png"


def test_images_may_be_elsewhere(tmp_path):
    paths = [write_set(tmp_path / name, 3, first=3 * n) for n, name in enumerate("abc")]
    away = [path.rename(tmp_path / f"{path.parent.name}.json") for path in paths]
    folders = tuple(path.parent for path in paths)
    assert [len(names) for names in split(*away, folders=folders).values()] == [3, 3, 3]
    same = split(*away[:1] * 3, folders=folders[:1])
    assert [len(names) for names in same.values()] == [3, 3, 3]


def test_images_of_a_folder_stay_together(folder):
    content = make_content()
    names = [f"film {number}/{frame}.png" for number in range(40) for frame in range(3)]
    content["images"] = [
        {"id": n, "file_name": name, "width": 9, "height": 9} for n, name in enumerate(names)
    ]
    content["annotations"][:] = [{"image_id": 0, "category_id": 2, "bbox": [1, 1, 5, 5]}]
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"not looked into")
    path = folder / "boxes.json"
    path.write_text(json.dumps(content))
    films = [{name.split("/")[0] for name in names} for names in split(path, level=1).values()]
    assert all(films) and sum(map(len, films)) == 40


def test_too_many_files_or_folders_are_refused(tmp_path, capsys):
    path, spare = write_set(tmp_path / "a", 3), tmp_path / "spare"
    for files, folders, part in (
        ((path, path, path, spare), (), f"--data {spare}: "),
        ((path,), (tmp_path, spare), f"--images {spare}: "),
        ((), (spare,), f"--images {spare}: "),
        ((path, path, path), (tmp_path, tmp_path), "--images: 2 folders for 3 files"),
    ):
        with pytest.raises(SystemExit) as stopped:
            split(*files, folders=folders)
        assert stopped.value.code == USAGE
        error = capsys.readouterr().err
        assert part in error and error.count("\n") == 1


def test_sets_that_cannot_be_used_are_refused(tmp_path, capsys):
    path = write_set(tmp_path / "a", 1)
    other = write_set(tmp_path / "b", 3)
    other.write_text(other.read_text().replace('"cat"', '"dog"'))
    (tmp_path / "empty").mkdir()
    for places, part in (
        ((path,), "too few"),
        ((path, other), "categories differ: cat, dog"),
        ((tmp_path / "empty",), "has 0 JSON files"),
    ):
        with pytest.raises(SystemExit) as stopped:
            split(*places)
        assert stopped.value.code == DATA
        error = capsys.readouterr().err
        assert part in error and error.count("\n") == 1
