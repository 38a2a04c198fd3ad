"""Small tokenizers and models with random weights, for the tests of language modelling."""

import itertools

from rlkit.tasks.language import Chunks

TEXTS = [
    "The miller's daughter wasn't afraid of the well-known wolves in the forest.",
    "Import numpy as np, then plot the curve: plt.plot(x, np.sin(x)); plt.show().",
    "Übermäßig große Äpfel — 12 of them, naïve café 🙂 end.",
    "A short one",
    "Unbelievable transformations unfold: tokenization, normalisation, vectorisation and so on and so forth.",
] * 3


def wordpiece(texts=TEXTS, size=130):
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=list(special.values()), show_progress=False)
    made.train_from_iterator(texts, trainer)
    around = [(token, made.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=around)
    return PreTrainedTokenizerFast(tokenizer_object=made, **special)


def byte_bpe(texts=TEXTS, size=330, pad="<|pad|>", regex=False, mask=None):
    """Merges cross spaces where `regex` is false; without `pad` it is GPT-2's way, with no padding token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    named = {"pad_token": pad, "eos_token": "<|end|>", "mask_token": mask}
    named = {name: token for name, token in named.items() if token}
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=regex)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=size, special_tokens=[*named.values()], initial_alphabet=alphabet, show_progress=False
        ),
    )
    return PreTrainedTokenizerFast(tokenizer_object=made, **named)


def llama(tokenizer, positions=128, spread=0.3):
    from transformers import LlamaConfig, LlamaForCausalLM, set_seed

    set_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=positions, initializer_range=spread, **sizes
    )
    return LlamaForCausalLM(config)


def bert(tokenizer, positions=128, spread=0.3):
    from transformers import BertConfig, BertForMaskedLM, set_seed

    set_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=positions, initializer_range=spread, **sizes)
    return BertForMaskedLM(config)


def flat(lists):
    return list(itertools.chain.from_iterable(lists))


def documents(texts=TEXTS):
    from datasets import Dataset

    return Dataset.from_dict({"text": list(texts)})


def batches(task, chunks, tokenizer, model, size=3):
    collate = task.collator(tokenizer, model)
    assert isinstance(collate, Chunks)
    rows = list(chunks)
    return [collate(rows[start : start + size]) for start in range(0, len(rows), size)]


def losses(task, chunks, tokenizer, model, size=3):
    return [pair for batch in batches(task, chunks, tokenizer, model, size) for pair in task.losses(model, batch)]
