"""A variational autoencoder dreams up new digits.

Teaches layers and models of one's own: a layer that draws random numbers by a `SeedGenerator`, and
a loss that a model adds in `call` by `add_loss`, beside the one given to `compile`. The data are
real: images of handwritten digits that ship with kbackend.

    python examples/vae.py

Reference:
    Kingma and Welling, 2014. Auto-Encoding Variational Bayes. https://arxiv.org/abs/1312.6114
"""

import argparse

import numpy as np

import kbackend as keras
from kbackend import ops
from kbackend.datasets import digits

LATENT = 4
SHADES = " .:-=+*#%@"


class Sampling(keras.layers.Layer):
    """Draws from a normal distribution given by its mean and the logarithm of its variance."""

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs):
        mean, log_variance = inputs
        noise = keras.random.normal(ops.shape(mean), seed=self.seed_generator)
        return mean + ops.exp(0.5 * log_variance) * noise


class VAE(keras.Model):
    """Encoder, sampling and decoder. The compiled loss is that of the reconstruction."""

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        image = keras.Input((64,))
        x = keras.layers.Dense(128, activation="relu")(image)
        x = keras.layers.Dense(64, activation="relu")(x)
        mean = keras.layers.Dense(LATENT)(x)
        log_variance = keras.layers.Dense(LATENT)(x)
        self.encoder = keras.Model(image, [mean, log_variance], name="encoder")
        self.sampling = Sampling(seed)
        self.decoder = keras.Sequential(
            [
                keras.Input((LATENT,)),
                keras.layers.Dense(64, activation="relu"),
                keras.layers.Dense(128, activation="relu"),
                keras.layers.Dense(64, activation="sigmoid"),
            ],
            name="decoder",
        )

    def call(self, inputs):
        mean, log_variance = self.encoder(inputs)
        self.add_loss(ops.mean(divergence(mean, log_variance)))
        return self.decoder(self.sampling([mean, log_variance]))


def divergence(mean, log_variance):
    """How far the code's distribution is from the standard normal one (Kullback-Leibler)."""
    return -0.5 * ops.sum(1 + log_variance - ops.square(mean) - ops.exp(log_variance), axis=-1)


def reconstruction_loss(y_true, y_pred):
    """Cross entropy of all pixels of an image together."""
    return 64 * keras.losses.binary_crossentropy(y_true, y_pred)


def load_data():
    (x_train, _), (x_test, _) = digits.load_data(flatten=True)
    return x_train.astype("float32") / 16, x_test.astype("float32") / 16


def draw(*images):
    """Images side by side, in characters, two per pixel so that they look square."""
    for row in range(8):
        lines = (image.reshape(8, 8)[row].clip(0, 1) for image in images)
        print("   ".join("".join(SHADES[int(v * 9)] * 2 for v in line) for line in lines))


def main(quick=False):
    keras.utils.set_random_seed(1)
    x_train, x_test = load_data()
    model = VAE(seed=1)
    model.compile(optimizer=keras.optimizers.Adam(2e-3), loss=reconstruction_loss)
    history = model.fit(x_train, x_train, epochs=8 if quick else 80, batch_size=32, verbose=2)
    test_loss = model.evaluate(x_test, x_test, return_dict=True, verbose=0)["loss"]
    code = float(ops.mean(divergence(*model.encoder(x_test))))
    print(f"Test loss {test_loss:.2f}, of which {code:.2f} for the code.")

    codes = np.random.default_rng(5).normal(size=(5, LATENT)).astype("float32")
    dreams = model.decoder.predict(codes, verbose=0)
    print("Nobody wrote these:")
    draw(*dreams)
    return {
        "losses": history.history["loss"],
        "divergence": code,
        "test_loss": test_loss,
        "dreams": dreams,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="train for a few epochs only")
    main(parser.parse_args().quick)
