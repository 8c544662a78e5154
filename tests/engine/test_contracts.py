"""Data sets, losses and metrics as people bring them; each in the place of ours."""

import random
from collections.abc import Callable
from typing import Any

import albumentations
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchmetrics
from project.engine.errors import DATA, USAGE
from project.engine.evaluate import Best, evaluate, rehearse
from project.engine.loader import Loader
from project.engine.optimize import elements, micro_batches
from project.engine.runtime import Precision
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, Dataset, IterableDataset, Subset

PRECISION = Precision(torch.device("cpu"), "none")
CLASSES = 3


class Samples(Dataset):
    """Inputs that say which sample they are, with noise of each generator."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        noise = [torch.rand(()).item(), random.random(), np.random.random()]  # noqa: NPY002
        return torch.tensor([float(index), *noise]), index % CLASSES


PAIRS = [(torch.tensor([float(n), 0.5, 0.5, 0.5]), n % CLASSES) for n in range(12)]


class Whole(Samples):
    in_memory = True

    def whole_batch(self, indices: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        return indices[:, None].float().expand(-1, 4), indices % CLASSES


class Own(Whole):
    """Overrides what the class before it reads many samples by."""

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.full((4,), -1.0), 0


class Augmented(Dataset):
    """Images changed by albumentations, whose generators are its own."""

    def __init__(self) -> None:
        self.transform = albumentations.Compose([albumentations.GaussNoise(p=1.0)])

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = np.full((8, 8, 3), 100, dtype=np.uint8)
        return torch.from_numpy(self.transform(image=image)["image"]), index % CLASSES


def refused(capsys: pytest.CaptureFixture[str], call: Callable[[], Any], code: int = DATA) -> str:
    with pytest.raises(SystemExit) as stopped:
        call()
    assert stopped.value.code == code
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


# data sets


@pytest.mark.parametrize(
    "dataset",
    [
        Samples(),
        PAIRS,
        Subset(Samples(), [3, 1, 4, 1, 5]),
        ConcatDataset([Samples(), Subset(Samples(), [2])]),
        Whole(),
    ],
)
@pytest.mark.parametrize("workers", [0, 1])
def test_any_data_set_gives_the_same_batches_from_any_step_on(dataset: Any, workers: int) -> None:
    def batches(first: int) -> list[Tensor]:
        loader = Loader(dataset, 2, shuffle=True, seed=1, workers=workers)
        return [step.micro_batches[0][0] for step in loader.steps(range(first, 6))]

    for one, other in zip(batches(0)[3:], batches(3), strict=True):
        assert torch.equal(one, other)


def test_a_subclass_that_reads_its_samples_otherwise_wins() -> None:
    assert next(iter(Loader(Whole(), 2)))[0][:, 0].tolist() == [0.0, 1.0]
    assert next(iter(Loader(Own(), 2)))[0][:, 0].tolist() == [-1.0, -1.0]


@pytest.mark.parametrize("dataset", [Augmented(), Subset(Augmented(), [0, 1, 2])])
def test_albumentations_draws_the_same_for_a_sample_whatever_came_before(dataset: Any) -> None:
    loader = Loader(dataset, 1, shuffle=True, seed=1, workers=0)
    first = [step.micro_batches[0][0] for step in loader.steps(range(3))]
    again = [step.micro_batches[0][0] for step in loader.steps(range(1, 3))]
    assert torch.equal(first[1], again[0]) and torch.equal(first[2], again[1])
    assert not torch.equal(first[0], first[1])


def test_examples_are_from_all_over_the_set_and_always_the_same() -> None:
    loader = Loader(Samples(), 2, shuffle=True, seed=1)
    first, again = loader.examples(4)[0], loader.examples(4)[0]
    assert torch.equal(first, again) and first[:, 0].tolist() == [0.0, 3.0, 6.0, 9.0]
    assert len(loader.examples(100)[0]) == 12


def test_weights_draw_the_rare_as_often_as_the_frequent() -> None:
    labels = torch.tensor([0] * 90 + [1] * 10)
    weights = torch.tensor([1 / 90, 1 / 10])[labels]
    loader = Loader([*zip(labels, labels, strict=True)], 100, shuffle=True, weights=weights)
    drawn = [step.micro_batches[0][1] for step in loader.steps(range(40))]
    assert abs(torch.cat(drawn).float().mean() - 0.5) < 0.03
    (again,) = loader.steps(range(7, 8))
    assert torch.equal(again.micro_batches[0][1], drawn[7])


def test_a_collate_fn_of_ones_own_pads() -> None:
    pairs = [(torch.ones(n), n) for n in (1, 3, 2)]

    def pad(samples: list[Any]) -> tuple[Tensor, Tensor]:
        inputs = nn.utils.rnn.pad_sequence([s[0] for s in samples], batch_first=True)
        return inputs, torch.tensor([s[1] for s in samples])

    (inputs, targets) = next(iter(Loader(pairs, 3, collate_fn=pad)))
    assert inputs.shape == (3, 3) and targets.tolist() == [1, 3, 2]


class Stream(IterableDataset):
    def __iter__(self) -> Any:
        return iter(PAIRS)


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        (Stream(), "Stream is a stream"),
        ([], "is empty"),
        ([{"image": torch.ones(3), "label": 1}] * 2, "a dict of image, label"),
        ([(torch.ones(3), 0), (torch.ones(4), 0)], "([3], int) and ([4], int)"),
        ([(object(), 0)] * 2, "(object, int)"),
    ],
)
def test_what_is_no_data_set_is_refused_in_one_line(capsys, dataset: Any, said: str) -> None:
    assert said in refused(capsys, lambda: [*Loader(dataset, 2, workers=0)])


# losses


def weighted(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs, targets)


@pytest.mark.parametrize(
    "criterion",
    [
        nn.CrossEntropyLoss(),
        nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0, 0.1])),
        nn.CrossEntropyLoss(ignore_index=1),
        nn.CrossEntropyLoss(label_smoothing=0.1),
        weighted,
    ],
)
def test_a_loss_of_anybodys_is_the_same_in_pieces(criterion: Any) -> None:
    torch.manual_seed(0)
    net = nn.Linear(4, CLASSES)
    gradients = []
    for pieces in (1, 5):
        net.zero_grad()
        loader = Loader(PAIRS, 11, shuffle=True, seed=1, accumulate=pieces)
        (batch,) = loader.steps(range(1))
        for inputs, targets, weight in micro_batches(batch, net, criterion, (0, 0)):
            (criterion(net(inputs), targets) * weight).backward()
        gradients.append(net.weight.grad.clone())  # type: ignore[union-attr]
    torch.testing.assert_close(*gradients)


def test_a_collate_fn_of_ones_own_that_fails_keeps_its_own_words() -> None:
    def broken(samples: list[Any]) -> None:
        raise TypeError("a mistake of mine")

    with pytest.raises(TypeError, match="a mistake of mine"):
        next(iter(Loader(PAIRS, 2, workers=0, collate_fn=broken)))


def test_a_loss_without_a_count_is_taken_over_the_samples() -> None:
    assert elements(weighted, {"boxes": torch.ones(5, 4), "labels": torch.ones(5)}) == 5


# metrics


class Right:
    """A metric of ones own."""

    def reset(self) -> None:
        self.right = 0

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        self.right += int((outputs.argmax(dim=1) == targets).sum())

    def compute(self) -> int:
        return self.right


def score(criterion: Any, metric: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    return evaluate(nn.Linear(4, CLASSES), Loader(PAIRS, 5), criterion, metric, PRECISION)


def outputs_and_targets() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    net = nn.Linear(4, CLASSES)
    with torch.no_grad():
        return net(torch.stack([pair[0] for pair in PAIRS])), torch.arange(12) % CLASSES


def test_metrics_of_torchmetrics_work_as_they_are() -> None:
    accuracy = torchmetrics.Accuracy("multiclass", num_classes=CLASSES)
    expected = accuracy(*outputs_and_targets()).item()
    assert score(nn.CrossEntropyLoss(), accuracy)[type(accuracy).__name__] == expected
    several = torchmetrics.MetricCollection({"accuracy": accuracy, "f1": accuracy.clone()})
    found = score(nn.CrossEntropyLoss(), several)
    assert found["accuracy"] == found["f1"] == expected


def test_scores_by_class_and_matrices_are_tensors() -> None:
    by_class = torchmetrics.Recall("multiclass", num_classes=CLASSES, average=None)
    matrix = torchmetrics.ConfusionMatrix("multiclass", num_classes=CLASSES)
    found = score(weighted, torchmetrics.MetricCollection({"recall": by_class, "who": matrix}))
    assert found["recall"].shape == (CLASSES,) and found["who"].shape == (CLASSES, CLASSES)
    assert found["who"].sum() == 12


def test_a_metric_of_ones_own_works_as_it_is() -> None:
    right = (outputs_and_targets()[0].argmax(dim=1) == outputs_and_targets()[1]).sum()
    assert score(weighted, Right())["Right"] == right


# before the first step


def vector(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs, targets, reduction="none")


@pytest.mark.parametrize(
    ("criterion", "metric", "name", "said"),
    [
        (vector, Right(), "Right", "loss vector: gives [12], not one number"),
        (nn.MSELoss(), Right(), "Right", "loss MSELoss: does not fit"),
        (weighted, torchmetrics.MeanSquaredError(), "Right", "metric MeanSquaredError: does"),
        (weighted, object(), "Right", "metric object: has no reset()"),
        (weighted, Right(), "accuracy", "it can be loss, Right"),
    ],
)
def test_what_does_not_fit_is_found_before_anything_is_trained(
    capsys, criterion: Any, metric: Any, name: str, said: str
) -> None:
    net, best = nn.Linear(4, CLASSES), Best(name, higher=True, patience=0)
    with pytest.raises(SystemExit) as stopped:
        best.pick(rehearse(net, Loader(PAIRS, 5), criterion, metric, PRECISION))
    assert stopped.value.code == USAGE
    assert said in capsys.readouterr().err


def test_a_score_by_class_cannot_decide(capsys) -> None:
    with pytest.raises(SystemExit):
        Best("recall", higher=True, patience=0).pick({"recall": torch.ones(3), "f1": 0.5})
    assert "Best('recall') in train.py: it can be f1" in capsys.readouterr().err


def test_what_fits_is_not_changed_by_the_rehearsal(capsys) -> None:
    net, metric = nn.Linear(4, CLASSES), Right()
    before = [parameter.clone() for parameter in net.parameters()]
    assert rehearse(net, Loader(PAIRS, 5), weighted, metric, PRECISION).keys() == {"loss", "Right"}
    assert all(map(torch.equal, before, net.parameters()))
    assert "weighted has no count(targets)" in capsys.readouterr().out
