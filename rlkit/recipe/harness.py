"""`harness:` benchmarks of EleutherAI's lm-evaluation-harness."""

from typing import Annotated, Literal

from pydantic import Field

from rlkit.recipe.section import Section

Setting = bool | int | float | str | list[str]


class HarnessSection(Section):
    """Measure a model on tasks of lm-evaluation-harness, its own or yours.

    A task of yours is a YAML file in a folder that `include_path` names. With benchmarks/capitals.yaml as

        task: capitals
        dataset_path: json
        dataset_kwargs: {data_files: {test: data/capitals.jsonl}}   # from the working directory
        test_split: test
        output_type: multiple_choice
        doc_to_text: "The capital of {{country}} is"
        doc_to_choice: "{{choices}}"
        doc_to_target: "{{choices.index(capital)}}"
        metadata: {version: 1.0}

    a recipe beside that folder measures it together with one of the harness's own:

        harness:
          tasks: [capitals, arc_easy]
          include_path: benchmarks
          limit: 200

    A YAML file may name Python functions beside it (`!function utils.name`): they run here, as a plugin does.
    """

    tasks: list[str] = Field(min_length=1)
    """Tasks, groups (mmlu) and tags (ai2_arc), as lm_eval calls them."""
    num_fewshot: int | None = Field(default=None, ge=0)
    """Examples before each question. Left out: as each task says; one that says 0 keeps 0 in any case."""
    limit: Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    """Only the first so many documents of each task, or, below 1, that share of them."""
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = 16
    """Sequences at a time. auto: as many as the GPU's memory holds."""
    apply_chat_template: bool | None = None
    """Ask in the tokenizer's chat template, the examples as earlier turns. Left out: where it has one."""
    system_instruction: str | None = None
    """A system prompt before every question."""
    gen_kwargs: dict[str, Setting] = Field(default={})
    """How completions are generated, over what tasks say: max_gen_toks, temperature, do_sample, until and so on."""
    include_path: str | None = None
    """Folder with task YAMLs of your own, from the recipe's folder; a name that lm_eval has too means yours."""
    seed: int | None = Field(default=None, ge=0)
    """Of the few-shot examples and of sampling. Left out: lm_eval's own seeds, by which published figures are made."""
