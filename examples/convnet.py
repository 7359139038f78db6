"""A convolutional network with batch normalization that reads handwritten digits.

Teaches the functional API, the block of convolution, normalization and activation that image models
are built of, and a learning rate that falls along a schedule. The data are real: 1,797 images of
8x8 pixels (UCI Machine Learning Repository) that ship with kbackend.

    python examples/convnet.py
"""

import argparse

import kbackend as keras
from kbackend.datasets import digits

BATCH_SIZE = 32


def load_data():
    """Images of shape (8, 8, 1) with values from 0 to 1, and digits as integers."""
    (x_train, y_train), (x_test, y_test) = digits.load_data()
    x_train = x_train[..., None].astype("float32") / 16
    x_test = x_test[..., None].astype("float32") / 16
    return (x_train, y_train), (x_test, y_test)


def conv_block(x, filters):
    # The normalization has a bias of its own, so the convolution needs none.
    x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
    x = keras.layers.BatchNormalization()(x)
    return keras.layers.Activation("relu")(x)


def build_model(learning_rate=0.05, dropout=0.3):
    inputs = keras.Input((8, 8, 1))
    x = conv_block(inputs, 16)
    x = conv_block(x, 32)
    x = keras.layers.MaxPooling2D(2)(x)
    x = conv_block(x, 32)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(dropout)(x)
    outputs = keras.layers.Dense(10, activation="softmax")(x)
    model = keras.Model(inputs, outputs)
    model.compile(
        optimizer=keras.optimizers.SGD(learning_rate, momentum=0.9),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def main(quick=False):
    keras.utils.set_random_seed(1)
    (x_train, y_train), (x_test, y_test) = load_data()
    epochs = 6 if quick else 15
    steps = epochs * -(-len(x_train) // BATCH_SIZE)
    model = build_model(keras.optimizers.schedules.CosineDecay(0.1, steps))
    model.summary()
    model.fit(
        x_train,
        y_train,
        epochs=epochs,
        batch_size=BATCH_SIZE,
        validation_data=(x_test, y_test),
        verbose=2,
    )
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    print(f"Test loss {loss:.3f}, test accuracy {accuracy:.1%} of {len(x_test)} images.")
    return {"accuracy": accuracy}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="train for a few epochs only")
    main(parser.parse_args().quick)
