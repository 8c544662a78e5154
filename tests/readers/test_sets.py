import pytest
from project.readers.sets import set_called


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("train", "train"),
        ("Validation", "val"),
        ("dev", "val"),
        ("TESTING", "test"),
        ("tests", None),
    ],
)
def test_the_usual_spellings_are_known(name, found):
    assert set_called(name) == found
