"""The three sets, by the names that people give them."""

# what the folders, files or rows of a set may be called
SPELLINGS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
HELD_OUT = 0.15  # of all samples for the validation, and as many for the test


def set_called(name: str) -> str | None:
    """Return the set that is called so, if one is."""
    found = (one for one, spellings in SPELLINGS.items() if name.strip().lower() in spellings)
    return next(found, None)
