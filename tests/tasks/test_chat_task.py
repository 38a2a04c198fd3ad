import json
from pathlib import Path

import pytest

from rlkit.tasks.chat import Chat

CALL = {"name": "weather", "arguments": {"city": "Köln", "days": 3}}
ASKED = {"role": "user", "content": "How will it be in Köln?"}
OPENAI = [
    {"role": "system", "content": "Be brief."},
    ASKED,
    {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "id": "1", "function": CALL}]},
    {"role": "tool", "content": '{"sky": "grey"}', "tool_call_id": "1"},
    {"role": "assistant", "content": "Grey."},
]
SHAREGPT = [
    {"from": "system", "value": "Be brief."},
    {"from": "human", "value": "How will it be in Köln?"},
    {"from": "function_call", "value": json.dumps(CALL)},
    {"from": "observation", "value": '{"sky": "grey"}'},
    {"from": "gpt", "value": "Grey."},
]


def read(messages, task=None, **columns):
    return (task or Chat()).read({"messages": messages, **columns})


def test_the_prompt_is_the_conversation_before_the_last_answer():
    example = read([*OPENAI, {"role": "user", "content": "Thanks."}])
    prompt = Chat().prompt(example)
    assert [message["role"] for message in prompt] == ["system", "user", "assistant", "user"]
    assert prompt[1] == ASKED
    assert Chat().target(example) == "Grey."
    assert Chat().messages(example) == [*prompt, {"role": "assistant", "content": "Grey."}]


def test_sharegpt_is_the_same_conversation():
    assert read(SHAREGPT) == read(OPENAI)
    assert read(json.dumps(SHAREGPT)) == read(OPENAI)


def templates():
    import trl

    return Path(trl.__file__).parent / "chat_templates"


@pytest.mark.parametrize("name", ["qwen3", "qwen2_5"])
@pytest.mark.parametrize("arguments", [CALL["arguments"], json.dumps(CALL["arguments"], ensure_ascii=False)])
def test_calls_are_written_as_the_chat_template_writes_them(tiny_model, name, arguments):
    from transformers import AutoTokenizer

    file = templates() / f"{name}.jinja"
    if not file.is_file():
        pytest.skip(f"this TRL has no {file.name}")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model, chat_template=file.read_text())

    def rendered(messages):
        return tokenizer.apply_chat_template(messages, tokenize=False)

    called = [{"function": CALL, "type": "function"}, {"function": {**CALL, "name": "tides"}, "type": "function"}]
    conversation = [ASKED, {"role": "assistant", "content": "", "tool_calls": called}]
    given = [{**call, "function": {**call["function"], "arguments": arguments}} for call in called]
    example = read([ASKED, {"role": "assistant", "content": "", "tool_calls": given}])
    assert Chat().target(example).count("<tool_call>") == 2
    assert Chat().target(example) in rendered(conversation)
    example = read(OPENAI)
    assert rendered(Chat().messages(example)) == rendered([{**m, "content": m["content"] or ""} for m in OPENAI])


def test_another_form_of_calls():
    task = Chat(call="{call}")
    example = read(SHAREGPT[:3], task)
    assert json.loads(task.target(example)) == CALL


def test_tools_are_in_the_system_message():
    tools = [{"name": "weather", "description": "Says how it will be.", "parameters": {"type": "object"}}]
    for given in (tools, json.dumps(tools), [json.dumps(tools[0])]):
        first, *others = Chat().prompt(read(OPENAI, tools=given))
        assert first["role"] == "system" and first["content"].startswith("Be brief.\n\n")
        assert json.dumps(tools[0]) in first["content"].split("\n")
        assert others == Chat().prompt(read(OPENAI))[1:]
    alone = Chat().prompt(read(OPENAI[1:], tools=tools))
    assert [message["role"] for message in alone][:2] == ["system", "user"]
    assert read(OPENAI, tools="[]") == read(OPENAI, tools=None) == read(OPENAI)


def test_keys_that_a_table_adds_are_no_arguments():
    from datasets import Dataset

    other = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"function": {"name": "tides", "arguments": {"sea": "north"}}}],
    }
    rows = Dataset.from_list([{"messages": OPENAI}, {"messages": [ASKED, other]}])
    examples = [read(row["messages"]) for row in rows]
    assert Chat().prompt(examples[0])[2]["content"] == Chat().prompt(read(OPENAI))[2]["content"]
    assert json.loads(Chat(call="{call}").read(rows[1])["messages"][-1]["content"]) == {
        "name": "tides",
        "arguments": {"sea": "north"},
    }


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ([ASKED], "without an answer"),
        ([ASKED, {"role": "assistant", "content": ""}], "without an answer"),
        ([{"role": "assistant", "content": "Hello."}], "nobody asks"),
        ([], "without an answer"),
        ("no conversation", "without a conversation"),
        ([ASKED, {"role": "poet", "content": "O"}], "unknown role"),
        ([ASKED, {"from": "function_call", "value": "weather in Köln"}], "cannot be read"),
        (
            [ASKED, {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}],
            "cannot be read",
        ),
    ],
)
def test_conversations_that_cannot_be_learnt_are_left_out(messages, why):
    assert why in read(messages)


def test_parts_of_a_message_become_its_text():
    example = read(
        [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, OPENAI[-1]]
    )
    assert Chat().prompt(example) == [{"role": "user", "content": "a\nb"}]


def test_the_figure_is_the_mean_of_the_reward():
    from rlkit import plugins

    task = Chat()
    examples = [read(OPENAI), read([ASKED, {"role": "assistant", "content": "Rather grey, I fear."}])]
    assert task.measure([task.target(e) for e in examples], examples) == {"token_f1": 1.0}
    reward = plugins.find(task.reward[0])
    wanted = [reward(completion="grey", **task.columns(example)) for example in examples]
    assert task.scores(["grey", "grey"], examples) == pytest.approx(wanted) == [1.0, 0.4]
    assert task.parse(" \n", examples[0]) is None
    assert task.measure([task.unread(e) for e in examples], examples) == {"token_f1": 0.0}


def test_the_baseline_is_the_commonest_answer():
    training = [read(OPENAI), read(OPENAI), read([ASKED, {"role": "assistant", "content": "Wet."}])]
    assert Chat().baseline(training, training[:1]) == ("commonest answer", ["Grey."])


def test_real_tool_calls_are_all_read(shared_data):
    rows = json.loads((shared_data / "sft" / "glaive_toolcall_en_demo.json").read_text())
    task = Chat()
    examples = [task.read({"messages": row["conversations"], "tools": row["tools"]}) for row in rows]
    assert all(isinstance(example, dict) for example in examples)
    calls = sum(turn["from"] == "function_call" for row in rows for turn in row["conversations"])
    texts = [m["content"] for e in examples for m in e["messages"] if m["role"] == "assistant"]
    assert sum("<tool_call>" in text for text in texts) == calls > 200
    for row, example in zip(rows, examples, strict=True):
        assert task.target(example) == row["conversations"][-1]["value"]
        assert len(task.prompt(example)) == len(row["conversations"]) - 1 + (row["tools"] != "[]")


def test_its_messages_are_what_sft_trains_on(shared_data, tiny_model, tmp_path):
    """Two steps of TRL's trainer, tool calls and all."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    rows = json.loads((shared_data / "sft" / "glaive_toolcall_en_demo.json").read_text())[:16]
    task = Chat()
    examples = [task.read({"messages": row["conversations"], "tools": row["tools"]}) for row in rows]
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(tiny_model),
        args=SFTConfig(
            output_dir=str(tmp_path), max_steps=2, report_to="none", use_cpu=True, bf16=False, max_length=256
        ),
        train_dataset=Dataset.from_list([{"messages": task.messages(example)} for example in examples]),
        processing_class=AutoTokenizer.from_pretrained(tiny_model),
    )
    assert trainer.train().training_loss > 0
