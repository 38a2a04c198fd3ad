import json

from rlkit import pipeline
from rlkit.progress import Progress
from rlkit.recipe.load import load


def test_conversations_are_learned_and_the_loss_falls(recipe_file, tmp_path):
    chat = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "There are 7 apples."}]
    (tmp_path / "chat.jsonl").write_text("".join(json.dumps({"messages": chat}) + "\n" for _ in range(8)))
    training = {"max_steps": 20, "per_device_train_batch_size": 4, "learning_rate": 5e-3, "logging_steps": 1}
    file = recipe_file(
        data={"path": str(tmp_path / "chat.jsonl"), "messages": "messages"}, rewards=None, training=training
    )
    run = pipeline.train(load(str(file)), tmp_path / "run", progress=Progress(quiet=True))
    losses = [row["loss"] for row in run.metrics("sft")]
    assert losses[-1] < 0.5 * losses[0]


def test_the_loss_counts_completions_alone(recipe_file, tmp_path):
    """What is masked is TRL's doing; that rlkit hands over the format that makes it mask is ours."""
    from trl import SFTTrainer

    from rlkit import policy
    from rlkit.plan import Plan
    from rlkit.training import sft

    file = recipe_file(stages=[{"sft": {"data": {"completion": "answer"}}}])
    recipe = load(str(file))
    plan = Plan.make(recipe)
    stage = plan.stages[0]
    loaded = policy.load(stage.model)
    rows = plan.rows[1].dataset
    trainer = SFTTrainer(
        model=loaded.model,
        args=sft.config(stage, 0, tmp_path / "run"),
        train_dataset=rows,
        processing_class=loaded.tokenizer,
    )
    batch = next(iter(trainer.get_train_dataloader()))
    learned = batch["labels"][0]
    text = loaded.tokenizer.decode(learned[learned != -100])
    assert text.startswith("Add. ####")
    assert "How many" not in text
