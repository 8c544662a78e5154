"""Files as disks, networks and half-finished programs leave them."""

from hypothesis import strategies as st


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Draw a damaged form of a file: flipped, cut, spliced, overwritten, or something else."""
    size = len(content)
    # formats keep what matters at their ends
    end = min(200, size - 1)
    place = st.one_of(
        st.integers(0, size - 1), st.integers(0, end), st.integers(size - 1 - end, size - 1)
    )
    damage = draw(st.sampled_from(("flip", "cut", "splice", "delete", "overwrite", "other")))
    if damage == "flip":
        flipped = bytearray(content)
        for at in draw(st.lists(place, min_size=1, max_size=4, unique=True)):
            flipped[at] ^= 1 << draw(st.integers(0, 7))
        return bytes(flipped)
    if damage == "cut":
        return content[: draw(place)]
    if damage == "other":
        return draw(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
    first, second, target = draw(place), draw(place), draw(place)
    piece = content[min(first, second) : max(first, second)]
    if damage == "splice":
        return content[:target] + piece + content[target:]
    if damage == "delete":
        return content[: min(first, second)] + content[max(first, second) :]
    strange = draw(st.binary(min_size=1, max_size=64) | st.just(b"\0" * 512))
    return content[:target] + strange + content[target + len(strange) :]
