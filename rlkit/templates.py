"""Chat templates that rlkit gives to tokenizers that have none."""

ROLES = ("system", "user", "assistant")
CHATML_START, CHATML_END = "<|im_start|>", "<|im_end|>"
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def one_token_a_role(end: str) -> str:
    """The template of `<|user|>question<|end|><|assistant|>answer<|end|>`.

    Args:
        end: The token after each message.
    """
    quoted = end.replace("\\", "\\\\").replace("'", "\\'")
    return (
        "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '"
        + quoted
        + "' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
    )
