"""VGG16 as torchvision has it: trained on ImageNet, downloaded or from a file."""

import pickle
from pathlib import Path

import torch
from torch import nn
from torchvision.models import VGG16_Weights, vgg

from ..engine.errors import DATA, fail


def open_vgg(weights: str) -> nn.Sequential:
    """Return the convolutions of VGG16.

    The weights are torchvision's own ("hub", downloaded once), those of a file, or "random" ones,
    which serve tests.
    """
    with torch.random.fork_rng(devices=[]):  # the same random weights each time
        torch.manual_seed(0)
        features = vgg.make_layers(vgg.cfgs["D"])
    if weights == "random":
        return features
    try:
        if weights == "hub":
            state = VGG16_Weights.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True)
        else:
            state = torch.load(Path(weights), map_location="cpu", weights_only=True)
        own = {name: tensor for name, tensor in state.items() if name.startswith("features.")}
        features.load_state_dict({name.partition(".")[2]: own[name] for name in own})
    except FileNotFoundError:
        fail(DATA, f"--vgg {weights}: no such file; --vgg hub downloads the weights")
    except OSError as error:
        way_out = "--vgg FILE takes vgg16-397923af.pth from elsewhere"
        fail(DATA, f"--vgg {weights}: {error}; {way_out}")
    except (RuntimeError, AttributeError, EOFError, pickle.UnpicklingError):
        fail(DATA, f"--vgg {weights}: no weights of torchvision's vgg16")
    return features
