"""An encoder-decoder LSTM that says digits backwards.

Teaches sequence to sequence learning: the encoder's last state is the decoder's first, in training
the decoder is told the right previous digit (teacher forcing), and in use its own last answer. Both
models of the second part share the layers of the first. The digits are random, with a fixed seed,
and the test sequences are none of those trained on.

    python examples/seq2seq_lstm.py
"""

import argparse

import numpy as np

import kbackend as keras

LENGTH = 4
START = 10  # the symbol that the decoder begins with
SYMBOLS = 11
UNITS = 64


def make_synthetic_pairs(seed=3):
    """All sequences of four digits, shuffled, each with what the decoder reads and must say."""
    numbers = np.random.default_rng(seed).permutation(10**LENGTH)
    sequences = numbers[:, None] // 10 ** np.arange(LENGTH)[::-1] % 10
    answers = sequences[:, ::-1]
    shifted = np.concatenate([np.full((len(answers), 1), START), answers[:, :-1]], axis=1)
    return sequences, shifted, answers


class Reverser:
    """The model for training, and the two halves for use, on the same layers."""

    def __init__(self):
        embedding = keras.layers.Embedding(SYMBOLS, 16)
        encoder = keras.layers.LSTM(UNITS, return_state=True)
        decoder = keras.layers.LSTM(UNITS, return_sequences=True, return_state=True)
        classifier = keras.layers.Dense(SYMBOLS, activation="softmax")

        source = keras.Input((LENGTH,), dtype="int32", name="source")
        target = keras.Input((None,), dtype="int32", name="target")
        _, *state = encoder(embedding(source))
        sequence, *_ = decoder(embedding(target), initial_state=state)
        self.training_model = keras.Model([source, target], classifier(sequence))

        self.encoder = keras.Model(source, state)
        given = [keras.Input((UNITS,), name="hidden"), keras.Input((UNITS,), name="cell")]
        sequence, *state = decoder(embedding(target), initial_state=given)
        self.decoder = keras.Model([target, *given], [classifier(sequence), *state])

    def answer(self, sequences):
        """The digits that the decoder says, one after the other, without any help."""
        state = self.encoder.predict(sequences, batch_size=500, verbose=0)
        said = np.full((len(sequences), 1), START)
        answers = []
        for _ in range(LENGTH):
            out, *state = self.decoder.predict([said, *state], batch_size=500, verbose=0)
            said = out[:, -1].argmax(axis=-1)[:, None]
            answers.append(said)
        return np.concatenate(answers, axis=1)


def main(quick=False):
    keras.utils.set_random_seed(1)
    sequences, shifted, answers = make_synthetic_pairs()
    train, test = slice(0, 4000), slice(9000, 10000)
    reverser = Reverser()
    model = reverser.training_model
    model.summary()
    model.compile(
        optimizer=keras.optimizers.Adam(5e-3),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(
        [sequences[train], shifted[train]],
        answers[train],
        epochs=5 if quick else 8,
        batch_size=64,
        verbose=2,
    )
    said = reverser.answer(sequences[test])
    right = (said == answers[test]).all(axis=1)
    for i in range(5):
        given, told = ("".join(map(str, row)) for row in (sequences[test][i], said[i]))
        print(f"{given} backwards is {told}: {'right' if right[i] else 'wrong'}")
    print(f"{right.mean():.1%} of {len(right)} unseen sequences are reversed without a mistake.")
    return {"accuracy": float(right.mean())}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="train for a few epochs only")
    main(parser.parse_args().quick)
