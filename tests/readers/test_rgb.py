import pytest
import torch
from project.readers.rgb import as_rgb


@pytest.mark.parametrize(("channels", "shown"), [(1, [0, 0, 0]), (2, [0, 0, 0]), (5, [0, 1, 2])])
def test_images_of_any_channels_can_be_looked_at(channels, shown):
    images = torch.arange(channels).view(channels, 1, 1).expand(2, channels, 4, 6)
    assert as_rgb(images).shape == (2, 3, 4, 6)
    assert as_rgb(images)[0, :, 0, 0].tolist() == shown
