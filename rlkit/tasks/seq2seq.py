"""What tasks that turn a text into a text have in common."""

from typing import Any, ClassVar

from pydantic import Field

from rlkit.errors import RequestError
from rlkit.reply import said
from rlkit.tasks.task import Example, Task


class Seq2Seq(Task):
    """A text becomes another. A prediction is a text; "" stands for a completion that says nothing.

    The classic pipeline is for encoder-decoder models (T5, BART, Marian, mBART, NLLB); a causal model does the task as
    text.
    """

    head: ClassVar[str] = "seq2seq"

    instruction: str
    """What the prompt says before the text."""
    prefix: str = ""
    """What stands before each text that the classic pipeline reads, such as T5's "summarize: "."""
    max_source_length: int = Field(default=512, ge=2)
    """Tokens of the text that is read; longer ones are cut."""
    max_target_length: int = Field(default=128, ge=2)
    """Tokens of the text that is written, to train on and to generate."""
    src_lang: str | None = None
    """The language that is read as the tokenizer of a model for many languages calls it, such as en_XX (mBART)."""
    tgt_lang: str | None = None
    """The language that is written, such as fr_XX (mBART), fra_Latn (NLLB) or fr (M2M100)."""

    def pair(self, example: Example) -> tuple[str, str]:
        """The text that is read, and the one to write."""
        raise NotImplementedError

    def written(self, text: str) -> str:
        """A prediction of what the classic pipeline wrote."""
        return text

    def texts(self, example: Example) -> list[str]:
        """Both texts."""
        return list(self.pair(example))

    def features(self, examples: Any, tokenizer: Any, training: bool) -> Any:
        """Token ids of the source, after the prefix, and as labels those of the target, which end with EOS.

        Raises:
            RequestError: The tokenizer is one for many languages and does not know src_lang or tgt_lang, or the other
                way round.
        """
        self._speak(tokenizer)
        end = tokenizer.eos_token_id

        def encode(batch: Example) -> Example:
            rows = [dict(zip(batch, row, strict=True)) for row in zip(*batch.values(), strict=True)]
            sources, targets = zip(*map(self.pair, rows), strict=True)
            read = tokenizer(
                [self.prefix + text for text in sources], truncation=True, max_length=self.max_source_length
            )
            most = self.max_target_length
            labels = tokenizer(text_target=list(targets), truncation=True, max_length=most)["input_ids"]
            # A tokenizer that writes no end would leave a model that never stops.
            labels = [ids if end is None or end in ids else [*ids[: most - 1], end] for ids in labels]
            return {"input_ids": read["input_ids"], "attention_mask": read["attention_mask"], "labels": labels}

        return examples.map(encode, batched=True, remove_columns=examples.column_names)

    def collator(self, tokenizer: Any, model: Any) -> Any:
        """Pads the labels with -100; tells the model how its texts begin and how long they may be."""
        from transformers import DataCollatorForSeq2Seq

        self._speak(tokenizer)
        if model is not None:
            self._settle(tokenizer, model)
        return DataCollatorForSeq2Seq(tokenizer, model=model)

    def predict(self, outputs: Any, features: Any, examples: Any, tokenizer: Any) -> list[str]:
        """The texts of the generated ids."""
        ids = [[tokenizer.pad_token_id if token == -100 else int(token) for token in row] for row in outputs]
        return [self.written(text.strip()) for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]

    def prompt(self, example: Example) -> str:
        """The instruction, then the text."""
        return f"{self.instruction}\n\nText: {self.pair(example)[0]}"

    def target(self, example: Example) -> str:
        """The text to write."""
        return self.pair(example)[1]

    def parse(self, completion: str, example: Example) -> str | None:
        """What it says."""
        return said(completion)[:20_000] or None

    def unread(self, example: Example) -> str:
        """No text."""
        return ""

    def _speak(self, tokenizer: Any) -> None:
        """Tell a tokenizer for many languages which two it is to take."""
        wanted = {key: code for key in ("src_lang", "tgt_lang") if (code := getattr(self, key))}
        if not hasattr(tokenizer, "src_lang"):
            if wanted:
                raise RequestError(
                    f"{self.name}: {' and '.join(wanted)} are for tokenizers of many languages, as mBART's, and "
                    f"{type(tokenizer).__name__} is none; leave them out, or tell the model by prefix"
                )
            return
        for key, code in wanted.items():
            if _language(tokenizer, code) is None:
                raise RequestError(f"{self.name}: the tokenizer knows no language {key}: {code!r}")
            setattr(tokenizer, key, code)
        if tokenizer.tgt_lang is None:
            raise RequestError(
                f"{self.name}: {type(tokenizer).__name__} is for many languages: say which to write as tgt_lang, and "
                "which to read as src_lang"
            )

    def _settle(self, tokenizer: Any, model: Any) -> None:
        """Generation begins as the labels do, and stops where they must."""
        model.generation_config.max_length = self.max_target_length + 1  # it counts the decoder's first token
        start = getattr(model.config, "decoder_start_token_id", None)
        if hasattr(tokenizer, "src_lang"):
            code = _language(tokenizer, tokenizer.tgt_lang)
            ids = tokenizer(text_target="a")["input_ids"]
            if ids[0] == code:
                model.generation_config.forced_bos_token_id = code
            elif ids[-1] == code:  # mBART's first model: the decoder starts with the language
                start = code
        start = tokenizer.pad_token_id if start is None else start  # as T5 does
        model.config.decoder_start_token_id = model.generation_config.decoder_start_token_id = start


def _language(tokenizer: Any, code: str) -> int | None:
    """The id of a language's token; None where the tokenizer has no such language."""
    if code in (known := getattr(tokenizer, "lang_code_to_token", {})):  # M2M100 writes fr as __fr__
        return tokenizer.get_lang_id(code)
    number = tokenizer.convert_tokens_to_ids(code)
    return None if known or number is None or number == tokenizer.unk_token_id else number
