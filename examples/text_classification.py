"""Is a review friendly or not? Binary classification of text.

Teaches how text becomes numbers: a vocabulary, sequences of word numbers padded to one length, an
`Embedding` that learns a vector for each word and masks the padding, and an average of the vectors
that are left. The reviews were written for this example; twenty of them are kept for testing.

    python examples/text_classification.py
"""

import argparse
import re

import numpy as np

import kbackend as keras

FRIENDLY = """\
A wonderful film with a warm heart and a brilliant cast.
I loved every minute of this lovely story.
The music is beautiful and the acting is superb.
A clever and funny comedy that made me laugh out loud.
What a delightful evening, I enjoyed it very much.
The best book I have read this year, moving and wise.
Great characters, great dialogue and a perfect ending.
An exciting story, told with charm and a lot of humour.
The actors are excellent and the pictures are beautiful.
I was moved to tears, a touching and honest film.
A charming little film that I would gladly see again.
Superb acting, a clever plot and wonderful music.
This is a brilliant book and I recommend it warmly.
My whole family enjoyed this funny and touching play.
An excellent meal, friendly people and a lovely view.
The staff were friendly and the room was clean and quiet.
A perfect little hotel with a beautiful garden.
I recommend this place, the food was fresh and delicious.
Delicious soup, fresh bread and a warm welcome.
We loved the quiet garden and the friendly staff.
The phone works perfectly and the battery lasts for days.
A solid and reliable machine, I am very happy with it.
Easy to set up, reliable and fast, worth every penny.
Fast delivery and great quality, I am happy.
The camera takes beautiful pictures and is easy to use.
A wise and moving story with an exciting ending.
I laughed, I cried and I loved it from start to finish.
The singer was brilliant and the band was superb.
A joy from start to finish, funny and full of charm.
It is a pleasure to use, light and solid.
The plot is exciting and the characters feel honest.
A great day out, the children were happy and so was I.
The most delightful play I have seen, warm and clever.
Great value, excellent quality and a helpful service.
The helpful staff made our stay a pleasure.
An honest and touching book with a lot of heart.
Wonderful food, lovely music and a great view.
The lamp is beautiful, bright and easy to put up.
I enjoyed the clever dialogue and the fine acting.
A fine film, fresh and funny, with a great cast.
The chairs are solid and comfortable, a pleasure to sit on.
Comfortable shoes of excellent quality, I recommend them.
A lovely, quiet place where we were happy.
The lessons are clear, helpful and a joy to follow.
Clear sound, bright pictures and a reliable service.
I am glad I went, the show was brilliant.
A perfect gift, my mother loved it.
Light, fast and comfortable, the best bicycle I have owned.
The tour was exciting and our guide was wise and funny.
Gladly again, the cake was delicious and the coffee was superb.
"""

UNFRIENDLY = """\
A terrible film with a weak plot and a bored cast.
I hated every minute of this stupid story.
The music is loud and the acting is awful.
A dull and silly comedy that never made me laugh.
What a waste of an evening, I was bored to death.
The worst book I have read this year, slow and empty.
Flat characters, poor dialogue and a stupid ending.
A boring story, told without charm or humour.
The actors are weak and the pictures are ugly.
I nearly fell asleep, a slow and empty film.
A dreadful little film that I never want to see again.
Awful acting, a silly plot and annoying music.
This is a boring book and I regret buying it.
My whole family hated this dull and noisy play.
A horrible meal, rude people and no view at all.
The staff were rude and the room was dirty and noisy.
An ugly little hotel with a dirty pool.
Avoid this place, the food was cold and tasteless.
Tasteless soup, stale bread and a cold welcome.
We hated the noisy street and the rude staff.
The phone broke after a day and the battery is useless.
A cheap and useless machine, I am very angry about it.
Hard to set up, slow and full of faults, not worth a penny.
Late delivery and poor quality, I am angry.
The camera takes blurred pictures and is hard to use.
A silly and confusing story with a dreadful ending.
I yawned, I sighed and I hated it from start to finish.
The singer was awful and the band was too loud.
A pain from start to finish, dull and full of faults.
It is a pain to use, heavy and cheap.
The plot is confusing and the characters feel empty.
A dreadful day out, the children were bored and so was I.
The most annoying play I have seen, cold and stupid.
Poor value, terrible quality and a useless service.
The rude staff ruined our stay, never again.
A cold and confusing book, a waste of paper.
Horrible food, loud music and dirty tables.
The lamp is ugly, dim and hard to put up.
I regret the wasted hours and the poor acting.
A weak film, stale and silly, with a dreadful cast.
The chairs are cheap and broke in a week, avoid them.
Painful shoes of terrible quality, I want my money back.
An ugly, noisy place where we were cold.
The lessons are confusing, useless and a pain to follow.
Blurred sound, dim pictures and a terrible service.
I regret that I went, the show was dreadful.
A useless gift, my mother hated it.
Heavy, slow and painful, the worst bicycle I have owned.
The tour was boring and our guide was rude and late.
Never again, the cake was stale and the coffee was cold.
"""

LENGTH = 16


def words_of(text):
    return re.findall(r"[a-z]+", text.lower())


def encode(texts, vocabulary):
    """Rows of word numbers, 0 behind the end and 1 for words that were never seen."""
    rows = [[vocabulary.get(word, 1) for word in words_of(text)] for text in texts]
    return keras.utils.pad_sequences(rows, maxlen=LENGTH, padding="post", truncating="post")


def load_data():
    """Training and test data as `(texts, word numbers, labels)`, and the vocabulary."""
    texts = np.array(FRIENDLY.splitlines() + UNFRIENDLY.splitlines())
    labels = np.repeat([1, 0], len(texts) // 2)
    order = np.random.default_rng(3).permutation(len(texts))
    test, train = order[:20], order[20:]
    # Only words that occur in the training data get numbers.
    words = sorted({word for text in texts[train] for word in words_of(text)})
    vocabulary = {word: number for number, word in enumerate(words, start=2)}
    parts = [(texts[rows], encode(texts[rows], vocabulary), labels[rows]) for rows in (train, test)]
    return *parts, vocabulary


def build_model(vocabulary_size):
    model = keras.Sequential(
        [
            keras.Input((LENGTH,), dtype="int32"),
            keras.layers.Embedding(vocabulary_size, 16, mask_zero=True),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(1e-2, weight_decay=1e-3),
        loss="binary_crossentropy",
        metrics=["accuracy"],
    )
    return model


def main(quick=False):
    keras.utils.set_random_seed(1)
    (_, x_train, y_train), (texts, x_test, y_test), vocabulary = load_data()
    model = build_model(len(vocabulary) + 2)
    model.summary()
    model.fit(x_train, y_train, epochs=8 if quick else 20, batch_size=8, verbose=2)
    _, accuracy = model.evaluate(x_test, y_test, verbose=0)
    for text, score in zip(texts[:6], model.predict(x_test[:6], verbose=0)[:, 0], strict=True):
        print(f"{score:4.0%} friendly: {text}")
    print(f"Test accuracy {accuracy:.0%} of {len(x_test)} reviews.")
    mine = "What a lovely and clever example!"
    score = model.predict(encode([mine], vocabulary), verbose=0)[0, 0]
    print(f"{score:4.0%} friendly: {mine}")
    return {"accuracy": accuracy}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="train for a few epochs only")
    main(parser.parse_args().quick)
