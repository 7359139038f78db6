"""A picture of a model: its layers, their shapes, and what flows where.

Teaches models with several inputs and outputs, nested models, `summary` and `plot_model`. If the
program Graphviz is installed it draws the picture, else kbackend does so itself.

    python examples/plot_model.py --file model.png
"""

import argparse
import pathlib
import tempfile

import kbackend as keras


def build_model():
    """Triage of support tickets: text and tags in, priority and department out."""
    title = keras.Input((None,), dtype="int32", name="title")
    body = keras.Input((None,), dtype="int32", name="body")
    tags = keras.Input((12,), name="tags")

    reader = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            keras.layers.Embedding(1000, 32),
            keras.layers.LSTM(32),
        ],
        name="reader",
    )
    # The same layers read both texts.
    x = keras.layers.concatenate([reader(title), reader(body), tags])
    x = keras.layers.Dense(32, activation="relu", name="mix")(x)
    priority = keras.layers.Dense(1, activation="sigmoid", name="priority")(x)
    department = keras.layers.Dense(4, activation="softmax", name="department")(x)
    return keras.Model([title, body, tags], [priority, department], name="tickets")


def main(quick=False, file=None):
    del quick  # there is nothing to train
    model = build_model()
    model.summary(expand_nested=True)
    path = pathlib.Path(file or pathlib.Path(tempfile.mkdtemp(prefix="plot-")) / "model.png")
    keras.utils.plot_model(
        model,
        to_file=path,
        show_shapes=True,
        show_layer_names=True,
        show_layer_activations=True,
        expand_nested=True,
    )
    print(f"Drawn to {path} ({path.stat().st_size // 1024} KiB).")
    return {"path": path}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="accepted as in the other examples")
    parser.add_argument("--file", help="where to draw; a temporary file by default")
    options = parser.parse_args()
    main(options.quick, options.file)
