import json
import math
import random
from collections import Counter

import pytest

from rlkit import plugins
from rlkit.errors import RequestError
from rlkit.tasks.translation import Translation

LINES = [
    ("The cat sat on the mat.", "Le chat est assis sur le tapis."),
    ("A dog looked at the cat.", "Un chien a regardé le chat."),
    ("Where is the dog?", "Où est le chien ?"),
    ("The mat is red.", "Le tapis est rouge."),
]
ROWS = [Translation().read({"translation": {"en": en, "fr": fr}}) for en, fr in LINES]
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]


@pytest.fixture(scope="module")
def pairs(shared_data):
    lines = (shared_data / "translation" / "python_docs_en_fr.jsonl").read_text().splitlines()
    return [Translation().read({"translation": json.loads(line)["translation"]}) for line in lines]


def dataset(rows):
    from datasets import Dataset

    return Dataset.from_list(list(rows))


def words_of(rows):
    return sorted({word for row in rows for text in row.values() for word in text.split()})


def plain_tokenizer(rows=ROWS, end=True):
    """Words, as T5, BART and Marian end them; or a tokenizer that writes no end."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocab = {word: number for number, word in enumerate([*SPECIAL, *words_of(rows)])}
    made = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if end:
        made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    names = dict(zip(("bos_token", "pad_token", "eos_token", "unk_token"), SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=made, **names)


def tokenizer_of_languages(name, rows=ROWS):
    """A real tokenizer of mBART, MBart50 or NLLB with a vocabulary of a few words."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    texts = [text for row in rows for text in row.values()]
    if name == "NllbTokenizer":
        made = Tokenizer(models.BPE(unk_token="<unk>"))
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        special = ["<s>", "<pad>", "</s>", "<unk>"]
        made.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=200, special_tokens=special))
        model = json.loads(made.to_str())["model"]
        return transformers.NllbTokenizer(vocab=model["vocab"], merges=[tuple(pair) for pair in model["merges"]])
    pieces = [(token, 0.0) for token in SPECIAL] + [("▁", -2.0)] + [(f"▁{word}", -3.0) for word in words_of(rows)]
    return getattr(transformers, name)(vocab=pieces)


def tiny(shape, size, **settings):
    import transformers

    sizes = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
             "decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64,
             "max_position_embeddings": 64}  # fmt: skip
    if shape == "T5":
        sizes = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 1, "num_heads": 2}
    special = {"pad_token_id": 1, "eos_token_id": 2, "bos_token_id": 0}
    if shape == "Marian":
        special |= {"decoder_start_token_id": 1, "forced_eos_token_id": None}
    transformers.set_seed(0)
    config = getattr(transformers, f"{shape}Config")(vocab_size=size, **sizes, **special, dropout=0.0, **settings)
    return getattr(transformers, "MarianMTModel" if shape == "Marian" else f"{shape}ForConditionalGeneration")(config)


def fitted(task, model, tokenizer, tmp_path, steps=60):
    """The model after some steps of transformers' own trainer, and its predictions."""
    from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments

    rows = dataset(ROWS)
    features = task.features(rows, tokenizer, training=True)
    arguments = Seq2SeqTrainingArguments(
        str(tmp_path), max_steps=steps, per_device_train_batch_size=4, learning_rate=1e-2, predict_with_generate=True,
        report_to=[], save_strategy="no", use_cpu=True, disable_tqdm=True, lr_scheduler_type="constant",
    )  # fmt: skip
    trainer = Seq2SeqTrainer(
        model,
        arguments,
        data_collator=task.collator(tokenizer, model),
        train_dataset=features,
        processing_class=tokenizer,
    )
    loss = trainer.train().training_loss
    assert math.isfinite(loss)
    made = trainer.predict(features).predictions
    return task.predict(made, features, rows, tokenizer), made


@pytest.mark.parametrize("shape", ["T5", "Bart", "Marian"])
def test_encoder_decoders_learn_to_write_the_target(shape, tmp_path):
    tokenizer = plain_tokenizer()
    model = tiny(shape, len(tokenizer))
    task = Translation(max_source_length=20, max_target_length=20)
    given, ids = fitted(task, model, tokenizer, tmp_path)
    assert given == [row["target"] for row in ROWS]
    assert task.measure(given, ROWS) == {"bleu": pytest.approx(100), "chrf": pytest.approx(100)}
    padded = ids.copy()
    padded[padded == tokenizer.pad_token_id] = -100
    assert task.predict(padded, None, None, tokenizer) == given


@pytest.mark.parametrize(
    ("name", "shape", "languages"),
    [
        ("MBartTokenizer", "MBart", ("en_XX", "fr_XX")),
        ("MBart50Tokenizer", "MBart", ("en_XX", "fr_XX")),
        ("NllbTokenizer", "M2M100", ("eng_Latn", "fra_Latn")),
    ],
)
def test_models_for_many_languages_write_the_one_asked_for(name, shape, languages, tmp_path):
    tokenizer = tokenizer_of_languages(name)
    source, target = map(tokenizer.convert_tokens_to_ids, languages)
    # the ids of the pretrained models: two start with </s> and force the language, mBART's first starts with it
    start = {} if name == "MBartTokenizer" else {"decoder_start_token_id": 2}
    model = tiny(shape, len(tokenizer), forced_eos_token_id=None, **start)
    task = Translation(src_lang=languages[0], tgt_lang=languages[1], max_target_length=40)
    row = task.features(dataset(ROWS[:1]), tokenizer, training=True)[0]
    assert source in row["input_ids"] and target not in row["input_ids"]
    assert target in row["labels"] and source not in row["labels"]
    given, ids = fitted(task, model, tokenizer, tmp_path, steps=150)
    assert given == [row["target"] for row in ROWS]
    assert (ids[:, 0] == target).all() if name == "MBartTokenizer" else (ids[:, 1] == target).all()
    # what is saved with the model generates by itself
    model.save_pretrained(tmp_path / "model")
    again = type(model).from_pretrained(tmp_path / "model")
    batch = tokenizer([ROWS[0]["source"]], return_tensors="pt")
    made = again.generate(**{key: batch[key] for key in ("input_ids", "attention_mask")}).numpy()
    assert task.predict(made, None, None, tokenizer) == [ROWS[0]["target"]]


def test_m2m100_calls_its_languages_by_another_name():
    from rlkit.tasks.seq2seq import _language

    class Tokenizer:
        lang_code_to_token = {"fr": "__fr__"}  # noqa: RUF012
        unk_token_id = 3

        def get_lang_id(self, code):
            return {"fr": 9}[code]

        def convert_tokens_to_ids(self, token):
            return {"en": 5}.get(token, 3)

    assert _language(Tokenizer(), "fr") == 9
    assert _language(Tokenizer(), "en") is None


def test_languages_that_a_tokenizer_does_not_take_are_refused():
    rows = dataset(ROWS)
    with pytest.raises(RequestError, match="leave them out"):
        Translation(tgt_lang="fr_XX").features(rows, plain_tokenizer(), training=True)
    with pytest.raises(RequestError, match="knows no language tgt_lang: 'fr'"):
        Translation(src_lang="en_XX", tgt_lang="fr").features(rows, tokenizer_of_languages("MBartTokenizer"), True)
    with pytest.raises(RequestError, match="say which to write as tgt_lang"):
        Translation().features(rows, tokenizer_of_languages("MBartTokenizer"), training=True)


def test_features_hold_source_and_target(pairs):
    tokenizer = plain_tokenizer(pairs)
    task = Translation(prefix="The ", max_source_length=30, max_target_length=25)
    features = task.features(dataset(pairs[:300]), tokenizer, training=True)
    assert features.column_names == ["input_ids", "attention_mask", "labels"]
    cut = 0
    for row, made in zip(pairs, features, strict=False):
        source, target = row["source"].split(), row["target"].split()
        assert tokenizer.decode(made["input_ids"]).split() == [*["The", *source][:29], "</s>"]
        assert tokenizer.decode(made["labels"]).split() == [*target[:24], "</s>"]
        cut += len(target) > 24
    assert cut > 20
    batch = task.collator(tokenizer, None)([features[i] for i in range(8)])
    lengths = [len(features[i]["labels"]) for i in range(8)]
    assert [int((labels != -100).sum()) for labels in batch["labels"]] == lengths
    assert all((labels[n:] == -100).all() for n, labels in zip(lengths, batch["labels"], strict=True))
    assert (batch["input_ids"] != -100).all() and (batch["labels"] != tokenizer.pad_token_id).all()


def test_labels_end_even_where_the_tokenizer_ends_nothing():
    tokenizer = plain_tokenizer(end=False)
    for most, kept in ((20, 7), (4, 3)):
        made = Translation(max_target_length=most).features(dataset(ROWS[:1]), tokenizer, training=True)[0]
        assert tokenizer.decode(made["labels"]) == " ".join([*LINES[0][1].split()[:kept], "</s>"])


def damaged(pairs, seed=0):
    """Translations of the kind that models make: words lost, doubled, left in the source's language, or none."""
    draw = random.Random(seed)
    for row in pairs:
        words = [word for word in row["target"].split() if draw.random() > 0.15]
        if words and draw.random() < 0.5:
            words[draw.randrange(len(words))] = draw.choice(row["source"].split())
        yield "" if draw.random() < 0.02 else " ".join(words)


def test_the_figures_are_sacrebleus(pairs):
    from sacrebleu.metrics import BLEU, CHRF

    pairs = pairs[:1500]
    given, golds = list(damaged(pairs)), [row["target"] for row in pairs]
    figures = Translation().measure(given, pairs)
    assert figures == {
        "bleu": BLEU().corpus_score(given, [golds]).score,
        "chrf": CHRF().corpus_score(given, [golds]).score,
    }
    assert 20 < figures["bleu"] < 90
    assert Translation().scores(given, pairs) is None  # BLEU of a corpus is no mean
    characters = BLEU(tokenize="char").corpus_score(given, [golds]).score
    assert Translation(tokenize="char").measure(given, pairs)["bleu"] == characters != figures["bleu"]


def test_bleu_by_its_formula(pairs):
    """On texts whose words spaces alone divide: n-gram precisions of the corpus, and the brevity penalty."""
    rows = [{key: "".join(c for c in t if c.isalnum() or c == " ") for key, t in row.items()} for row in pairs[:1000]]
    given = list(damaged(rows, seed=3))
    hits, said, have, want = Counter(), Counter(), 0, 0
    for text, row in zip(given, rows, strict=True):
        words, gold = text.split(), row["target"].split()
        have, want = have + len(words), want + len(gold)
        for n in range(1, 5):
            grams, wanted = (Counter(zip(*(w[i:] for i in range(n)), strict=False)) for w in (words, gold))
            hits[n] += (grams & wanted).total()
            said[n] += grams.total()
    precision = math.exp(sum(math.log(hits[n] / said[n]) for n in range(1, 5)) / 4)
    expected = 100 * precision * min(1.0, math.exp(1 - want / have))
    assert Translation().measure(given, rows)["bleu"] == pytest.approx(expected, abs=1e-6)


def test_one_translations_chrf_is_its_reward(pairs):
    task = Translation()
    name, parameters = task.reward
    reward = plugins.find(name).configure(**parameters)
    for text, row in zip(damaged(pairs[:300], seed=1), pairs, strict=False):
        for completion in (text, f"<think>{row['source']}</think> {text}", f"Sure: <answer>{text}</answer>"):
            read = task.parse(completion, row)
            given = task.unread(row) if read is None else read
            want = task.measure([given], [row])["chrf"] / 100
            assert reward(completion=completion, **task.columns(row)) == pytest.approx(want, abs=1e-12)


def test_the_face_as_text():
    task = Translation()
    assert task.prompt(ROWS[0]) == (
        "Translate the text from English to French. Answer with the translation and nothing else.\n\n"
        "Text: The cat sat on the mat."
    )
    assert (task.target(ROWS[0]), task.columns(ROWS[0])) == (LINES[0][1], {"answer": LINES[0][1]})
    assert task.parse(f"<think>x</think>\n{LINES[0][1]}\n", ROWS[0]) == LINES[0][1]
    assert task.parse("<think>x</think>", ROWS[0]) is None
    other = Translation(source_language="fr", target_language="oc")
    assert other.prompt(ROWS[0]).startswith("Translate the text from French to oc.")


def test_columns_and_rows_that_cannot_be_used():
    task = Translation()
    assert task.read({"source": " Hello. ", "target": "Bonjour."}) == {"source": "Hello.", "target": "Bonjour."}
    other = Translation(source_language="fr", target_language="en")
    assert other.read({"translation": {"en": "Hello.", "fr": "Bonjour."}}) == {"source": "Bonjour.", "target": "Hello."}
    assert task.read({"translation": {"en": "Hello."}}) == "without a text 'fr'"
    assert task.read({"translation": {"en": " ", "fr": "x"}}) == "without a text 'en'"
    assert task.read({"source": "Hello."}) == "without a text 'target'"
    assert task.read({"translation": "Hello."}).startswith("whose translation is no")
    assert task.texts(ROWS[0]) == list(LINES[0])


def test_the_baseline_copies(pairs):
    task = Translation()
    pairs = pairs[:1500]
    name, given = task.baseline([], pairs)
    assert (name, given[0]) == ("source copied", pairs[0]["source"])
    assert 5 < task.measure(given, pairs)["bleu"] < 40
