"""Training without `fit`: a loop of one's own, and a step of one's own inside `fit`.

Teaches `GradientTape`, optimizers and metrics by hand. The two parts do the same, first as a loop
over batches, then as a model that overrides `train_step` and keeps everything else that `fit` does.
What is special about the step: it also runs the model on noisy copies of the images, and asks that
both get the same answer. The data are real: images of handwritten digits that ship with kbackend.

    python examples/custom_training_loop.py
"""

import argparse

import numpy as np

import kbackend as keras
from kbackend import ops
from kbackend.datasets import digits

BATCH_SIZE = 32
NOISE = 0.1


def load_data():
    (x_train, y_train), (x_test, y_test) = digits.load_data(flatten=True)
    return (x_train.astype("float32") / 16, y_train), (x_test.astype("float32") / 16, y_test)


def build_layers():
    return [
        keras.layers.Dense(64, activation="relu"),
        keras.layers.Dense(64, activation="relu"),
        keras.layers.Dense(10),  # logits: the loss applies the softmax
    ]


def consistency_loss(model, loss_fn, x, y, seed):
    """The usual loss, and how far the answer for a noisy copy is from the one for the original."""
    logits = model(x, training=True)
    noisy = model(x + NOISE * keras.random.normal(ops.shape(x), seed=seed), training=True)
    return logits, loss_fn(y, logits) + 0.1 * ops.mean(ops.square(logits - noisy))


def train_by_hand(x, y, epochs):
    """The loop, with nothing hidden."""
    model = keras.Sequential([keras.Input((64,)), *build_layers()])
    optimizer = keras.optimizers.Adam(1e-3)
    loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    mean_loss = keras.metrics.Mean()
    accuracy = keras.metrics.SparseCategoricalAccuracy()
    seed = keras.random.SeedGenerator(1)
    rng = np.random.default_rng(1)
    losses = []
    for epoch in range(epochs):
        mean_loss.reset_state()
        accuracy.reset_state()
        order = rng.permutation(len(x))
        for begin in range(0, len(x), BATCH_SIZE):
            rows = order[begin : begin + BATCH_SIZE]
            with keras.GradientTape() as tape:
                logits, loss = consistency_loss(model, loss_fn, x[rows], y[rows], seed)
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
            mean_loss.update_state(loss)
            accuracy.update_state(y[rows], logits)
        losses.append(float(mean_loss.result()))
        print(f"epoch {epoch}: loss {losses[-1]:.4f}, accuracy {float(accuracy.result()):.1%}")
    return model, losses


class ConsistentModel(keras.Sequential):
    """The same as a step, for `fit` with its progress bar, callbacks and validation."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.noise_seed = keras.random.SeedGenerator(1)

    def train_step(self, data):
        x, y = data
        with keras.GradientTape() as tape:
            logits, loss = consistency_loss(self, self.loss, x, y, self.noise_seed)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, logits)
        return self.get_metrics_result()


def main(quick=False):
    (x_train, y_train), (x_test, y_test) = load_data()
    epochs = 5 if quick else 15

    keras.utils.set_random_seed(1)
    model, losses = train_by_hand(x_train, y_train, epochs)
    guesses = ops.argmax(model(x_test), axis=-1)
    accuracy = float(np.mean(np.asarray(guesses) == y_test))
    print(f"By hand: test accuracy {accuracy:.1%}.")

    keras.utils.set_random_seed(1)
    model = ConsistentModel([keras.Input((64,)), *build_layers()])
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    history = model.fit(x_train, y_train, batch_size=BATCH_SIZE, epochs=epochs, verbose=2)
    _, fit_accuracy = model.evaluate(x_test, y_test, verbose=0)
    print(f"By fit: test accuracy {fit_accuracy:.1%}.")
    return {
        "losses": losses,
        "accuracy": accuracy,
        "fit_losses": history.history["loss"],
        "fit_accuracy": fit_accuracy,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="train for a few epochs only")
    main(parser.parse_args().quick)
