"""Regression: the price of a house from eight facts about its neighbourhood.

Teaches how to predict a number rather than a class: scale the inputs by the training data, leave
the last layer linear, minimize the squared error, and compare with the best guess that ignores the
inputs. The data are synthetic: a formula with noise makes up districts of the kind known from the
census data sets of Boston and California. To train on real ones, take
`keras.datasets.california_housing.load_data()`, which downloads them.

    python examples/housing_regression.py
"""

import argparse

import numpy as np

import kbackend as keras

FEATURES = ("income", "house_age", "rooms", "bedrooms", "population", "coast_km", "crime", "tax")


def make_synthetic_districts(rows=2000, seed=7):
    """Made-up districts: their features, and the median price in thousands of dollars."""
    rng = np.random.default_rng(seed)
    income = rng.lognormal(1.2, 0.4, rows)  # tens of thousands of dollars
    age = rng.uniform(1, 52, rows)
    rooms = 2.5 + 0.6 * income + rng.normal(0, 0.5, rows)
    bedrooms = 0.2 * rooms + rng.normal(0, 0.05, rows)
    population = rng.lognormal(7, 0.6, rows)
    coast = rng.gamma(1.5, 30, rows)
    crime = rng.lognormal(0, 1, rows) / income
    tax = rng.uniform(180, 700, rows)
    price = (
        40 * income
        + 12 * rooms
        # The sea is worth more to those who can pay.
        + 150 * np.sqrt(income / 3) * np.exp(-coast / 25)
        - 0.8 * age
        + 0.02 * (age - 30) ** 2
        - 25 * np.log1p(crime)
        - 0.05 * tax
        + rng.normal(0, 15, rows)
    )
    x = np.stack([income, age, rooms, bedrooms, population, coast, crime, tax], axis=1)
    return x.astype("float32"), price.astype("float32")


def load_data():
    """Scaled features and prices, four fifths of them for training."""
    x, y = make_synthetic_districts()
    train = len(x) * 4 // 5
    # The test data must not decide anything, the scale included.
    mean, std = x[:train].mean(axis=0), x[:train].std(axis=0)
    x = (x - mean) / std
    return (x[:train], y[:train]), (x[train:], y[train:])


def build_model():
    model = keras.Sequential(
        [
            keras.Input((len(FEATURES),)),
            keras.layers.Dense(64, activation="relu", kernel_regularizer="l2"),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(1),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.RMSprop(1e-3),
        loss="mean_squared_error",
        metrics=["mean_absolute_error"],
    )
    return model


def main(quick=False):
    keras.utils.set_random_seed(1)
    (x_train, y_train), (x_test, y_test) = load_data()
    model = build_model()
    model.fit(
        x_train, y_train, epochs=15 if quick else 60, batch_size=32, validation_split=0.1, verbose=2
    )
    _, error = model.evaluate(x_test, y_test, verbose=0)
    naive = float(np.abs(y_test - y_train.mean()).mean())
    print(f"Mean absolute error {error:.1f} thousand dollars; always the mean: {naive:.1f}.")

    guesses = model.predict(x_test[:5], verbose=0)[:, 0]
    for guess, price in zip(guesses, y_test[:5], strict=True):
        print(f"estimated {guess:6.1f}, paid {price:6.1f}")
    return {"error": error, "naive_error": naive}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="train for a few epochs only")
    main(parser.parse_args().quick)
