"""Small models, each built the same way by real Keras and by kbackend."""

import numpy as np


def sequential(k):
    return k.Sequential(
        [
            k.Input((8,)),
            k.layers.Dense(4, activation="relu", kernel_regularizer="l2"),
            k.layers.BatchNormalization(),
            k.layers.Dropout(0.3),
            k.layers.Dense(2),
        ],
        name="seq",
    )


def deferred(k):
    model = k.Sequential([k.layers.Dense(3), k.layers.Dense(2)], name="deferred")
    model.build((None, 8))
    return model


def convolutional(k):
    return k.Sequential(
        [
            k.Input((6, 6, 1)),
            k.layers.Conv2D(2, 3, padding="same", activation="relu"),
            k.layers.MaxPooling2D(),
            k.layers.Flatten(),
            k.layers.Dense(2),
        ]
    )


def shared_and_nested(k):
    a, b = k.Input((3,), name="a"), k.Input((3,), name="b")
    shared = k.layers.Dense(3, name="shared")
    x = shared(a) + shared(b) * 2
    x = k.ops.concatenate([x, a], axis=-1)
    stack = k.Sequential([k.Input((6,)), k.layers.Dense(3)], name="stack")
    inner_in = k.Input((3,))
    inner = k.Model(inner_in, k.layers.Dense(3)(inner_in) + 1.0, name="inner")
    y = inner(stack(x))
    z = y + inner(a)
    return k.Model({"a": a, "b": b}, {"y": y, "z": z[:, 1:]}, name="nested")


def operations(k):
    x = k.Input((4,), name="x")
    y = k.ops.reshape(2.0 / (k.ops.abs(x) + 1), (-1, 2, 2))
    parts = k.ops.split(x, 2, axis=1)
    y = y @ k.ops.ones((2, 3)) - k.ops.mean(x, axis=1, keepdims=True)[:, None]
    y = k.ops.where(y > 0.5, y, k.ops.relu(-y) ** 2)
    z = k.ops.einsum("bi,bj->bij", parts[0], parts[1])
    w = k.ops.transpose(k.ops.expand_dims(x, 1), axes=(0, 2, 1))
    w = k.ops.softmax(k.ops.cast(w, "float32"), axis=1) // 0.1
    return k.Model([x], [y, z, w, k.ops.max(x, axis=-1), x[..., None, 0:2]], name="operations")


def inputs_for(model, count=4):
    """Data for each input of a model, in the structure of its inputs."""
    rng = np.random.default_rng(3)

    def data(x):
        return rng.standard_normal((count, *x.shape[1:])).astype("float32")

    structure = model.inputs[0] if hasattr(model, "pop") else model.input
    if isinstance(structure, dict):
        return {key: data(structure[key]) for key in sorted(structure)}
    if isinstance(structure, list):
        return [data(x) for x in structure]
    return data(structure)


def recurrent(k):
    return k.Sequential(
        [
            k.Input((5, 3)),
            k.layers.Masking(),
            k.layers.Bidirectional(k.layers.LSTM(2, return_sequences=True)),
            k.layers.RNN([k.layers.GRUCell(2), k.layers.SimpleRNNCell(2)], return_sequences=True),
            k.layers.TimeDistributed(k.layers.Dense(2)),
        ]
    )


def embedding(k):
    x = k.Input((4,), dtype="float32", name="x")
    y = k.layers.Embedding(5, 3)(k.ops.cast(k.ops.abs(x), "int32"))
    y = k.layers.LayerNormalization()(k.layers.Conv1D(2, 2)(y))
    return k.Model(x, k.layers.GlobalAveragePooling1D()(k.layers.PReLU()(y)))


def attention(k):
    x = k.Input((4, 3), name="x")
    y = k.layers.MultiHeadAttention(2, 2, dropout=0.1)(x, x, use_causal_mask=True)
    return k.Model(x, k.layers.Add()([x, y]))


MODELS = [
    sequential, deferred, convolutional, shared_and_nested, operations, recurrent, embedding,
    attention,
]  # fmt: skip
