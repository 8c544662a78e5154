import pytest
import torch
from project.engine.order import POOL, Order, bucketed, shuffled, uniform


def epoch_of(order: Order, epoch: int) -> torch.Tensor:
    first = epoch * order.steps_per_epoch
    return torch.cat([order.batch(first + i)[1] for i in range(order.steps_per_epoch)])


@pytest.mark.parametrize(("length", "batch_size"), [(1, 1), (7, 7), (10, 3), (64, 8), (65, 8)])
def test_every_epoch_is_a_permutation_remainder_included(length, batch_size):
    order = Order(length, batch_size, seed=0, shuffle=True)
    for epoch in range(3):
        assert epoch_of(order, epoch).sort().values.tolist() == list(range(length))


def test_the_order_is_a_function_of_seed_and_step_alone():
    order = Order(50, 7, seed=3, shuffle=True)
    steps = [20, 3, 0, 11, 3]
    before = [order.batch(step)[1].tolist() for step in steps]
    shuffled.cache_clear()
    torch.manual_seed(9)
    again = Order(50, 7, seed=3, shuffle=True)
    assert [again.batch(step)[1].tolist() for step in reversed(steps)] == before[::-1]


def test_asking_for_a_batch_draws_nothing_from_the_global_generator():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    Order(100, 10, seed=5, shuffle=True).batch(3)
    uniform(100, 2, seed=5)
    assert torch.equal(torch.get_rng_state(), state)


def test_epochs_and_seeds_differ_in_their_order():
    orders = [Order(100, 10, seed, shuffle=True) for seed in (0, 1)]
    found = {tuple(epoch_of(order, epoch).tolist()) for order in orders for epoch in range(3)}
    assert len(found) == 6


def test_without_shuffling_samples_come_as_they_are():
    order = Order(7, 3)
    assert [order.batch(step)[1].tolist() for step in range(4)] == [
        [0, 1, 2],
        [3, 4, 5],
        [6],
        [0, 1, 2],
    ]


def test_the_epoch_travels_with_the_step():
    order = Order(7, 3, shuffle=True)
    assert [order.batch(step)[0] for step in range(7)] == [0, 0, 0, 1, 1, 1, 2]


def test_drop_last_leaves_the_remainder_out():
    assert [Order(7, 3, drop_last=drop).steps_per_epoch for drop in (False, True)] == [3, 2]


def test_a_limit_repeats_the_first_batches_of_the_first_epoch():
    whole = Order(20, 4, seed=2, shuffle=True)
    limited = Order(20, 4, seed=2, shuffle=True, limit=2)
    for step in range(6):
        epoch, indices = limited.batch(step)
        assert epoch == 0
        assert torch.equal(indices, whole.batch(step % 2)[1])


def test_a_limit_beyond_the_data_set_is_the_data_set():
    assert Order(7, 3, limit=100).steps_per_epoch == 3


def test_uniform_gives_each_sample_numbers_of_its_own_in_each_epoch():
    numbers = torch.cat([uniform(1000, 2, seed) for seed in (1, 2)])
    assert numbers.unique(dim=0).shape == numbers.shape
    assert numbers.min() >= 0 and numbers.max() < 1
    assert torch.equal(uniform(1000, 2, 2), numbers[1000:])


# batches of similar length


def make_lengths(count: int, longest: int = 200) -> torch.Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.randint(1, longest, (count,), generator=generator)


def padding(order: Order, lengths: torch.Tensor) -> float:
    """Return the share of an epoch's places that no sample fills."""
    batches = [lengths[order.batch(step)[1]] for step in range(order.steps_per_epoch)]
    places = sum(int(batch.max()) * len(batch) for batch in batches)
    return 1 - int(lengths.sum()) / places


@pytest.mark.parametrize(("length", "batch_size"), [(1, 1), (7, 7), (10, 3), (400, 2), (1001, 8)])
def test_every_bucketed_epoch_is_a_permutation_remainder_included(length, batch_size):
    order = Order(length, batch_size, shuffle=True, lengths=make_lengths(length))
    for epoch in range(3):
        assert epoch_of(order, epoch).sort().values.tolist() == list(range(length))


def test_bucketed_batches_are_padded_little():
    lengths = make_lengths(3000)
    plain, buckets = (Order(3000, 16, shuffle=True, lengths=by) for by in (None, lengths))
    assert padding(plain, lengths) > 0.4
    assert padding(buckets, lengths) < 0.05


def test_the_bucketed_order_is_a_function_of_seed_and_step_alone():
    lengths, steps = make_lengths(300), [90, 3, 0, 41, 3]
    order = Order(300, 7, seed=3, shuffle=True, lengths=lengths)
    before = [order.batch(step)[1].tolist() for step in steps]
    bucketed.cache_clear()
    torch.manual_seed(9)
    again = Order(300, 7, seed=3, shuffle=True, lengths=lengths.clone())
    assert [again.batch(step)[1].tolist() for step in reversed(steps)] == before[::-1]


def test_buckets_change_from_epoch_to_epoch_and_from_seed_to_seed():
    lengths = make_lengths(300)
    orders = [Order(300, 10, seed, shuffle=True, lengths=lengths) for seed in (0, 1)]
    found = {frozenset(order.batch(step)[1].tolist()) for order in orders for step in range(60)}
    assert len(found) == 120


def test_long_and_short_batches_come_in_any_order():
    lengths = make_lengths(16 * POOL)
    order = Order(len(lengths), 16, shuffle=True, lengths=lengths)
    means = torch.stack([lengths[order.batch(i)[1]].double().mean() for i in range(2 * POOL)])
    first, second = means[:POOL], means[POOL : 2 * POOL]
    rises = (first.diff() > 0).double().mean()  # sorted ones would rise all the time
    assert 0.3 < rises < 0.7
    # and in another one in the next epoch
    assert torch.corrcoef(torch.stack((first, second)))[0, 1].abs() < 0.4


def test_what_makes_no_whole_batch_is_as_likely_long_as_short():
    lengths = torch.arange(107)
    order = Order(107, 10, shuffle=True, lengths=lengths)
    last = torch.cat([order.batch(11 * epoch + 10)[1] for epoch in range(100)])
    assert len(last) == 700 and abs(lengths[last].double().mean() - 53) < 5


def test_lengths_that_are_all_the_same_still_shuffle():
    order = Order(100, 10, shuffle=True, lengths=torch.ones(100))
    assert len({tuple(epoch_of(order, epoch).tolist()) for epoch in range(3)}) == 3


def test_without_shuffling_lengths_change_nothing():
    order = Order(7, 3, lengths=make_lengths(7))
    assert epoch_of(order, 0).tolist() == list(range(7))
