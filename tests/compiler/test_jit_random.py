"""jit: random numbers are drawn as in eager running, and generators advance alike."""

import numpy as np

import kbackend as k
from kbackend import ops


def draws(make, runs=3):
    """What a function made from the same start returns in three runs, eagerly and compiled."""
    k.utils.set_random_seed(5)
    eager = make()
    wanted = [np.asarray(eager()) for _ in range(runs)]
    k.utils.set_random_seed(5)
    compiled = k.jit(make())
    found = [np.asarray(compiled()) for _ in range(runs)]
    assert len(compiled.compiled.executables()) == 1
    return found, wanted


def test_generators():
    def make():
        generator = k.random.SeedGenerator(7)
        return lambda: k.random.uniform((3, 4), seed=generator)

    found, wanted = draws(make)
    np.testing.assert_array_equal(found, wanted)
    assert len({one.tobytes() for one in found}) == 3


def test_the_global_generator():
    found, wanted = draws(lambda: lambda: k.random.uniform((5,)) + k.random.uniform((5,)))
    np.testing.assert_array_equal(found, wanted)
    assert len({one.tobytes() for one in found}) == 3


def test_seeding_anew():
    compiled = k.jit(lambda: k.random.uniform((5,)))
    runs = []
    for _ in range(2):
        k.utils.set_random_seed(3)
        runs.append([np.asarray(compiled()), np.asarray(k.random.uniform((5,)))])
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0][0], runs[0][1])


def test_integer_seeds_give_the_same_numbers():
    compiled = k.jit(lambda: k.random.normal((4,), seed=3))
    np.testing.assert_array_equal(np.asarray(compiled()), np.asarray(compiled()))
    np.testing.assert_array_equal(np.asarray(compiled()), np.asarray(k.random.normal((4,), seed=3)))


def test_generators_advance_alike():
    one, two = k.random.SeedGenerator(7), k.random.SeedGenerator(7)
    fn = k.jit(lambda: (k.random.uniform((2,), seed=one), k.random.normal((2,), seed=one))[1])
    for _ in range(3):
        fn()
        k.random.uniform((2,), seed=two)
        k.random.normal((2,), seed=two)
        assert one.state.tolist() == two.state.tolist()
    # Eager draws go on where compiled ones have stopped.
    np.testing.assert_array_equal(
        np.asarray(k.random.uniform((3,), seed=one)), np.asarray(k.random.uniform((3,), seed=two))
    )


def test_tracing_draws_nothing():
    generator = k.random.SeedGenerator(7)
    fn = k.jit(lambda x: x + k.random.uniform((), seed=generator))
    fn(np.float32(0))
    fn(np.zeros(2, "float32"))
    assert generator.state.tolist() == [7, 2]


def test_distributions():
    """Each distribution, to the last digits: programs may take logarithms in another order."""
    makers = [
        lambda s: k.random.normal((3, 5), seed=s),
        lambda s: k.random.truncated_normal((3, 5), seed=s),
        lambda s: k.random.randint((3, 5), 0, 10, seed=s),
        lambda s: k.random.gamma((3, 5), 2.0, seed=s),
        lambda s: k.random.beta((3, 5), 2.0, 1.0, seed=s),
        lambda s: k.random.binomial((3, 5), 10.0, 0.3, seed=s),
        lambda s: k.random.categorical(ops.zeros((3, 5)), 4, seed=s),
        lambda s: k.random.shuffle(ops.arange(20), seed=s),
        lambda s: k.random.dropout(ops.ones((3, 5)), 0.4, seed=s),
    ]
    for maker in makers:
        one, two = k.random.SeedGenerator(1), k.random.SeedGenerator(1)
        fn = k.jit(lambda maker=maker, one=one: maker(one))
        for _ in range(2):
            np.testing.assert_allclose(
                np.asarray(fn()), np.asarray(maker(two)), rtol=1e-6, atol=1e-6
            )
        assert one.state.tolist() == two.state.tolist()


def test_dropout_layers():
    layers = [k.layers.Dropout(0.5, seed=3) for _ in range(2)]
    fn = k.jit(lambda x: layers[0](x, training=True))
    x, masks = ops.ones((4, 6)), []
    for _ in range(3):
        masks.append(np.asarray(fn(x)))
        np.testing.assert_array_equal(masks[-1], np.asarray(layers[1](x, training=True)))
    assert not np.array_equal(masks[0], masks[1])
